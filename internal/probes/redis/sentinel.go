package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"soakd/internal/probes"
)

// sentinelMetrics describes what sentinels tell. The label sentinel is one of the
// addresses of the URL.
type sentinelMetrics struct {
	up, masters, status, failing, others, replicas, quorum, reached *probes.Desc
	master, failovers                                               *probes.Desc
}

func describeSentinels(descs *probes.Descs) sentinelMetrics {
	gauge := func(name, help string, labels ...string) *probes.Desc {
		return descs.Gauge("soakd_redis_sentinel_"+name, help, append([]string{"sentinel"}, labels...)...)
	}
	return sentinelMetrics{
		up:        gauge("up", "Whether the sentinel told of the master (1) or not (0)."),
		masters:   gauge("masters", "Masters that the sentinel watches, under all names."),
		status:    gauge("master_status", "1 for what the sentinel holds the master for: ok, sdown (it cannot reach it itself) or odown (a quorum of sentinels cannot).", "status"),
		failing:   gauge("failover_in_progress", "Whether the sentinel is failing the master over (1) or not (0)."),
		others:    gauge("other_sentinels", "Sentinels of the master that this one knows, without itself."),
		replicas:  gauge("known_replicas", "Replicas of the master that the sentinel knows, those that are down among them."),
		quorum:    gauge("quorum", "Sentinels that must agree that the master is down."),
		reached:   gauge("quorum_reached", "Whether enough sentinels can be reached for a fail-over (1) or not (0), by SENTINEL CKQUORUM; absent without the right to it."),
		master:    descs.Gauge("soakd_redis_sentinel_master_info", "1, with the name and the address of the master as the sentinels have it now.", "master", "node"),
		failovers: descs.Counter("soakd_redis_sentinel_failovers_total", "Changes of the master's address seen since soakd started."),
	}
}

// sentinels finds a master and its replicas by asking sentinels.
type sentinels struct {
	target  target
	metrics *sentinelMetrics
	// last are the servers of the latest answer.
	last []place
	// master is the address of the master in the newest configuration that was
	// seen, and epoch that configuration's; see [sentinels.take].
	master    string
	epoch     int64
	failovers int
	// rights are those of each sentinel.
	rights map[string]*rights
}

// newSentinels makes them; old, which may be nil, are those before a change of
// password.
func newSentinels(t target, metrics *sentinelMetrics, old *sentinels) *sentinels {
	s := &sentinels{target: t, metrics: metrics, rights: map[string]*rights{}}
	if old != nil {
		s.last, s.master, s.epoch, s.failovers = old.last, old.master, old.epoch, old.failovers
	}
	for _, address := range t.seeds {
		s.rights[address] = &rights{}
	}
	return s
}

// view is what one sentinel says.
type view struct {
	master   map[string]string
	replicas []map[string]string
	// masters is how many it watches, absent with hasMasters false.
	masters    float64
	hasMasters bool
	// quorum tells that it reaches a quorum, when hasQuorum.
	quorum, hasQuorum bool

	cost     probes.Cost
	err      error
	panicked any
}

// epoch is the age of the configuration in a view: it rises with each fail-over.
func (v view) epoch() int64 {
	epoch, _ := strconv.ParseInt(v.master["config-epoch"], 10, 64)
	return epoch
}

// find asks all sentinels at the same time. That with the newest configuration is
// right where they differ.
func (s *sentinels) find(ctx context.Context, links *links, reading *probes.Reading) ([]place, bool, error) {
	views := askSentinels(ctx, s.target.seeds, func(address string) *link {
		return links.to(address, "", s.target.sentinels)
	}, func(ctx context.Context, client *goredis.Client, address string) view {
		return askSentinel(ctx, client, s.target.master, s.rights[address])
	})
	for i, v := range views {
		s.add(reading, s.target.seeds[i], v)
	}
	best, errs := newest(s.target.seeds, views, &reading.Cost)
	if best == nil {
		return slices.Clone(s.last), false, errors.Join(errs...)
	}
	s.take(*best, len(errs) == 0)
	reading.Add(s.metrics.master, 1, s.target.master, addressIn(best.master))
	reading.Add(s.metrics.failovers, float64(s.failovers))
	return slices.Clone(s.last), true, wrongAnswers(errs)
}

// askSentinels asks all of those addresses at the same time.
func askSentinels(ctx context.Context, addresses []string, to func(address string) *link, ask func(ctx context.Context, client *goredis.Client, address string) view) []view {
	ctx, cancel := probes.Share(ctx, findShare)
	defer cancel()
	views := make([]view, len(addresses))
	var running sync.WaitGroup
	for i, address := range addresses {
		link := to(address)
		running.Go(func() {
			defer func() { views[i].panicked = recover() }()
			views[i] = ask(ctx, link.get(), address)
			link.settle(views[i].err)
		})
	}
	running.Wait()
	for _, v := range views {
		if v.panicked != nil {
			panic(v.panicked)
		}
	}
	return views
}

// newest returns the view with the newest configuration, nil where there is none,
// with the errors of the others, and adds what the views cost.
func newest(addresses []string, views []view, cost *probes.Cost) (best *view, errs []error) {
	for i, v := range views {
		cost.Plus(v.cost)
		if v.err != nil {
			errs = append(errs, probes.Because(probes.ReasonOf(v.err), fmt.Errorf("sentinel %s: %w", addresses[i], v.err)))
			continue
		}
		if best == nil || v.epoch() > best.epoch() {
			best = &views[i]
		}
	}
	return best, errs
}

// wrongAnswers joins what is a fault of the configuration: any sentinel that
// answers is enough, unless another answers wrongly.
func wrongAnswers(errs []error) error {
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return !answered(err) })...)
}

// quorumCommand is a command that the probe can do without, as a right names it.
const quorumCommand = "sentinel|ckquorum"

// askSentinel asks one sentinel for all in one round trip.
func askSentinel(ctx context.Context, client *goredis.Client, name string, rights *rights) (v view) {
	pipe := client.Pipeline()
	var quorum *goredis.Cmd
	if rights.has(quorumCommand, time.Now()) {
		quorum = pipe.Do(ctx, "SENTINEL", "CKQUORUM", name)
	}
	master := pipe.Do(ctx, "SENTINEL", "MASTER", name)
	replicas := pipe.Do(ctx, "SENTINEL", "REPLICAS", name)
	counts := pipe.Info(ctx, "sentinel")
	if err := execute(ctx, client, pipe, &v.cost); err != nil {
		v.err = because(err)
		return v
	}
	v.readMaster(master, replicas, name)
	if fields, err := parseInfo(counts.Val()); err == nil {
		v.masters, v.hasMasters, _ = fields.number("sentinel_masters")
	}
	if quorum != nil {
		v.readQuorum(quorum.Err(), rights)
	}
	return v
}

func (v *view) readMaster(master, replicas *goredis.Cmd, name string) {
	fields, err := masterIn(master, name)
	if err != nil {
		v.err = err
		return
	}
	list, err := replicas.Slice()
	if err != nil {
		v.err = fmt.Errorf("SENTINEL REPLICAS: %w", because(err))
		return
	}
	v.master = fields
	for _, one := range list {
		v.replicas = append(v.replicas, pairs(one))
	}
}

// masterIn reads the answer to SENTINEL MASTER.
func masterIn(master *goredis.Cmd, name string) (map[string]string, error) {
	answer, err := master.Result()
	if reply, ok := replyOf(err); ok && strings.Contains(reply, "No such master") {
		return nil, probes.Because(probes.ReasonMissing, fmt.Errorf("SENTINEL MASTER: knows no master %.80q", name))
	}
	if err != nil {
		return nil, fmt.Errorf("SENTINEL MASTER: %w", because(err))
	}
	fields := pairs(answer)
	if addressIn(fields) == "" {
		return nil, protocol(errors.New("SENTINEL MASTER: the answer has no ip and port"))
	}
	return fields, nil
}

// readQuorum takes in the answer to CKQUORUM, an error where there is no quorum.
func (v *view) readQuorum(err error, rights *rights) {
	switch {
	case err == nil:
		v.quorum, v.hasQuorum = true, true
	case goredis.HasErrorPrefix(err, "NOQUORUM"):
		v.hasQuorum = true
	case refused(err):
		rights.refuse(quorumCommand, time.Now())
	}
}

// pairs reads an answer of names and values in turn.
func pairs(answer any) map[string]string {
	list, _ := answer.([]any)
	fields := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		name, isName := list[i].(string)
		value, isValue := list[i+1].(string)
		if isName && isValue {
			fields[name] = value
		}
	}
	return fields
}

// addressIn returns the address that a sentinel gives of a server, "" without one.
func addressIn(fields map[string]string) string {
	if fields["ip"] == "" || fields["port"] == "" {
		return ""
	}
	return net.JoinHostPort(fields["ip"], fields["port"])
}

// add adds what one sentinel says.
func (s *sentinels) add(reading *probes.Reading, sentinel string, v view) {
	if v.err != nil {
		reading.Add(s.metrics.up, 0, sentinel)
		return
	}
	reading.Add(s.metrics.up, 1, sentinel)
	flags := strings.Split(v.master["flags"], ",")
	now := masterStatus(flags)
	for _, status := range []string{"ok", "sdown", "odown"} {
		reading.Add(s.metrics.status, number(status == now), sentinel, status)
	}
	reading.Add(s.metrics.failing, number(slices.Contains(flags, "failover_in_progress")), sentinel)
	for desc, name := range map[*probes.Desc]string{s.metrics.others: "num-other-sentinels", s.metrics.replicas: "num-slaves", s.metrics.quorum: "quorum"} {
		if value, err := parseNumber(v.master[name]); err == nil {
			reading.Add(desc, value, sentinel)
		}
	}
	if v.hasMasters {
		reading.Add(s.metrics.masters, v.masters, sentinel)
	}
	if v.hasQuorum {
		reading.Add(s.metrics.reached, number(v.quorum), sentinel)
	}
}

// masterStatus is what a sentinel holds the master for.
func masterStatus(flags []string) string {
	switch {
	case slices.Contains(flags, "o_down"):
		return "odown"
	case slices.Contains(flags, "s_down"):
		return "sdown"
	default:
		return "ok"
	}
}

// number is 1 for true.
func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// take takes in the view that is right of those there are; all tells that every
// sentinel answered. A configuration older than one seen before tells of no
// fail-over when one of those that did not answer may have the newer one.
func (s *sentinels) take(v view, all bool) {
	s.last = placesOf(v)
	if v.epoch() < s.epoch && !all {
		return
	}
	address := addressIn(v.master)
	if s.master != "" && s.master != address {
		s.failovers++
	}
	s.master, s.epoch = address, v.epoch()
}

// placesOf returns the master and the replicas of a view.
func placesOf(v view) []place {
	master := addressIn(v.master)
	places := []place{{node: master, role: roleMaster}}
	for _, one := range v.replicas {
		address := addressIn(one)
		known := slices.ContainsFunc(places, func(p place) bool { return p.node == address })
		if address == "" || known {
			continue // a sentinel can list the new master among the replicas for a moment
		}
		flags := strings.Split(one["flags"], ",")
		down := slices.ContainsFunc(flags, func(flag string) bool { return flag == "s_down" || flag == "o_down" || flag == "disconnected" })
		places = append(places, place{node: address, role: roleReplica, spare: down})
	}
	slices.SortFunc(places[1:], func(a, b place) int { return cmp.Compare(a.node, b.node) })
	return places
}

// readMore has nothing to add: servers do not know of their sentinels.
func (*sentinels) readMore(context.Context, *goredis.Client, string, *probes.Reading) error {
	return nil
}
