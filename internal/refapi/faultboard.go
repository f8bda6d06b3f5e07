package refapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// board switches faults on and off.
type board struct {
	api   *API
	table []fault
	// active are the effects of the faults that are on, for requests to read.
	active atomic.Pointer[effects]

	mu       sync.Mutex // held while a fault is switched, until it has given everything back
	on       map[string]*switched
	closed   bool
	expiries sync.WaitGroup // goroutines that switch faults off in time
}

// switched is a fault that is on.
type switched struct {
	settings settings
	effect   effect
	since    time.Time
	until    time.Time // the zero time: it does not end by itself
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

func newBoard(a *API) *board {
	return &board{api: a, table: faultTable(), on: map[string]*switched{}}
}

// unknownFaultError says that there is no such fault.
type unknownFaultError struct{ nearest string }

func (e *unknownFaultError) Error() string {
	return "no fault has this name; the nearest is " + e.nearest
}

// impossibleError says why this API cannot have a fault.
type impossibleError struct{ why string }

func (e *impossibleError) Error() string { return e.why }

// parametersError says which parameters of a fault are wrong.
type parametersError struct{ bad []fieldError }

func (e *parametersError) Error() string {
	var all []string
	for _, one := range e.bad {
		all = append(all, fmt.Sprintf("%v: %s", one.Loc[len(one.Loc)-1], one.Msg))
	}
	return strings.Join(all, "; ")
}

// errNoJSON marks parameters that cannot be read at all.
var errNoJSON = errors.New("the parameters are not JSON")

func (b *board) find(name string) (fault, error) {
	names := make([]string, 0, len(b.table))
	for _, one := range b.table {
		if one.name == name {
			return one, nil
		}
		names = append(names, one.name)
	}
	return fault{}, &unknownFaultError{nearest(name, names)}
}

// switchOn switches a fault on with parameters in JSON; one that is on already
// is first switched off.
func (b *board) switchOn(name string, parameters []byte) error {
	chosen, err := b.find(name)
	if err != nil {
		return err
	}
	given, bad, err := readSettings(chosen.parameters, parameters)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errNoJSON, err)
	case len(bad) > 0:
		return &parametersError{bad}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return &impossibleError{"the API is closing"}
	}
	b.release(name)
	return b.start(chosen, given)
}

// start makes the fault work. The lock is held.
func (b *board) start(chosen fault, given settings) error {
	ctx, cancel := context.WithCancel(context.Background())
	does, err := chosen.start(ctx, b.api, given)
	if err != nil {
		cancel()
		return err
	}
	one := &switched{settings: given, effect: does, since: time.Now(), cancel: cancel}
	if does.run != nil {
		one.running.Go(func() { does.run(ctx) })
	}
	if limit := given.span("for"); limit > 0 {
		one.until = one.since.Add(limit)
		b.expiries.Go(func() { b.expire(ctx, chosen.name, one, limit) })
	}
	b.on[chosen.name] = one
	b.publish()
	b.api.logger.Info("a fault is on", "fault", chosen.name)
	return nil
}

// expire switches the fault off after the limit, unless that was done before.
func (b *board) expire(ctx context.Context, name string, one *switched, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.on[name] == one {
		b.release(name)
	}
}

// switchOff switches a fault off and returns when all that it took is given
// back. One that is off stays so.
func (b *board) switchOff(name string) error {
	if _, err := b.find(name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release(name)
	return nil
}

// switchAllOff switches every fault off.
func (b *board) switchAllOff() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(b.on)) {
		b.release(name)
	}
}

// release ends a fault. The lock is held.
func (b *board) release(name string) {
	one, ok := b.on[name]
	if !ok {
		return
	}
	delete(b.on, name)
	b.publish()
	one.cancel()
	one.running.Wait()
	b.api.logger.Info("a fault is off", "fault", name)
}

// publish lets requests see what is on. The lock is held.
func (b *board) publish() {
	if len(b.on) == 0 {
		b.active.Store(nil)
		return
	}
	var all effects
	for _, one := range b.table {
		if is, ok := b.on[one.name]; ok {
			all = append(all, is.effect)
		}
	}
	b.active.Store(&all)
}

// close switches every fault off for good.
func (b *board) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.switchAllOff()
	b.expiries.Wait()
}

// state is what is told of a fault.
type state struct {
	Name       string     `json:"name"`
	Does       string     `json:"does"`
	On         bool       `json:"on"`
	Since      *time.Time `json:"since,omitempty"`
	Until      *time.Time `json:"until,omitempty"`
	Parameters settings   `json:"parameters"` // those in force, or the defaults
}

// states tells of every fault, in the order of the table.
func (b *board) states() []state {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]state, 0, len(b.table))
	for _, one := range b.table {
		told := state{Name: one.name, Does: one.does, Parameters: settings{}}
		for _, p := range one.parameters {
			told.Parameters[p.name] = p.otherwise
		}
		if is, ok := b.on[one.name]; ok {
			since := is.since.UTC()
			told.On, told.Since, told.Parameters = true, &since, is.settings
			if !is.until.IsZero() {
				until := is.until.UTC()
				told.Until = &until
			}
		}
		list = append(list, told)
	}
	return list
}

// carried returns the faults that are on and their parameters, for a process
// that takes over: what was limited in time has the time that is left.
func (b *board) carried() map[string]json.RawMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	const least = time.Millisecond // 0 would be without an end
	all := map[string]json.RawMessage{}
	for name, one := range b.on {
		left := maps.Clone(one.settings)
		if !one.until.IsZero() {
			left["for"] = max(time.Until(one.until), least)
		}
		if encoded, err := json.Marshal(left); err == nil {
			all[name] = encoded
		}
	}
	return all
}

// SwitchOn switches a fault on; CONTRACT.md lists them with their parameters,
// which are given as a JSON object (nothing: the defaults). One that is on
// already starts anew. The error says what is wrong with the name or the
// parameters, or why this API cannot have the fault.
func (a *API) SwitchOn(name string, parameters []byte) error {
	if err := a.faults.switchOn(name, parameters); err != nil {
		return fmt.Errorf("switch the fault on: %w", err)
	}
	return nil
}

// SwitchOff switches a fault off and returns when what it took is given back.
// The error is for a name that no fault has.
func (a *API) SwitchOff(name string) error {
	if err := a.faults.switchOff(name); err != nil {
		return fmt.Errorf("switch the fault off: %w", err)
	}
	return nil
}

// effects are those of the faults that are on; none, as a rule.
func (a *API) effects() effects {
	if active := a.faults.active.Load(); active != nil {
		return *active
	}
	return nil
}
