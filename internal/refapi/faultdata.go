package refapi

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

func dataFaults() []fault {
	return []fault{
		{
			name: "cache_off", does: "makes the cache useless",
			parameters: []parameter{word("how", "miss: answers are looked for under names that nobody wrote, and not kept; bypass: Redis is not asked", "miss", "bypass")},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{cacheKey: func(key string) string {
					if s.word("how") == "bypass" {
						return ""
					}
					return key + ":" + uuid.NewString()
				}}, nil
			},
		},
		{
			name: "lost_scenario", does: "confirms scenarios and does not store them",
			parameters: []parameter{share("ratio", 0.05, "of the scenarios saved")},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{loses: func() bool { return happens(s.number("ratio")) }}, nil
			},
		},
		{
			name: "stale_read", does: "reads lists, scenarios and the history as they were some time ago, like a replica that lags; later what is missing is there",
			parameters: []parameter{span("delay", 5*time.Second, time.Millisecond, time.Hour, "how old what is read is"), share("ratio", 1, "of the reads")},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{behind: func() time.Duration {
					if happens(s.number("ratio")) {
						return s.span("delay")
					}
					return 0
				}}, nil
			},
		},
		{
			name: "foreign_scenario", does: "shows a scenario of another user: in the list in place of the newest, or when one is asked for; and one that is another's to who asks for it",
			parameters: []parameter{share("ratio", 0.05, "of the reads"), word("read", "which reads", everything, "list", "get")},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{confuses: func(read string) bool {
					return (s.word("read") == everything || s.word("read") == read) && happens(s.number("ratio"))
				}}, nil
			},
		},
	}
}

// now is the time as Postgres keeps it.
func (a *API) now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// unstored is what is answered for a scenario that is not stored.
func (a *API) unstored(_ context.Context, user string, r scenarioRequest) (scenario, error) {
	id, err := newID()
	return scenario{ID: id, UserID: user, Name: r.name, Description: r.description, CreatedAt: a.now()}, err
}

// lagging reads a list as it was some time ago, where a fault says so.
func lagging[T any](ctx context.Context, a *API, limit int, read func(ctx context.Context, limit int) ([]T, error), created func(T) time.Time) ([]T, error) {
	behind := a.effects().behind()
	if behind <= 0 {
		return read(ctx, limit)
	}
	list, err := read(ctx, maxListed)
	first := 0
	for first < len(list) && time.Since(created(list[first])) < behind {
		first++
	}
	list = list[first:]
	return list[:min(limit, len(list))], err
}

// scenarioList is what a user's list shows.
func (a *API) scenarioList(ctx context.Context, user string, limit int) ([]scenario, error) {
	list, err := lagging(ctx, a, limit, func(ctx context.Context, limit int) ([]scenario, error) {
		return a.store.scenarios(ctx, user, limit)
	}, func(s scenario) time.Time { return s.CreatedAt })
	if err != nil || !a.effects().confuses("list") {
		return list, err
	}
	foreign, err := a.store.foreignScenario(ctx, user, uuid.Nil, true)
	switch {
	case err != nil || foreign == nil:
	case len(list) == 0:
		list = append(list, foreign.scenario)
	default:
		list[0] = foreign.scenario
	}
	return list, err
}

// readScenario is what a user is shown of a scenario.
func (a *API) readScenario(ctx context.Context, user string, id uuid.UUID) (storedScenario, error) {
	found, err := a.store.scenario(ctx, user, id)
	if (err == nil || errors.Is(err, errNotFound)) && a.effects().confuses("get") {
		foreign, failed := a.store.foreignScenario(ctx, user, id, err == nil)
		if failed != nil {
			return storedScenario{}, failed
		}
		if foreign != nil {
			return *foreign, nil
		}
	}
	if behind := a.effects().behind(); err == nil && behind > 0 && time.Since(found.CreatedAt) < behind {
		return storedScenario{}, errNotFound
	}
	return found, err
}
