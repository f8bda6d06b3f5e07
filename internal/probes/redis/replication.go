package redis

import (
	"errors"
	"fmt"
	"strconv"

	"soakd/internal/probes"
)

// maxReplicas bounds the label replica: the first ones of the master's list get
// their own series.
const maxReplicas = 8

// replicas describes what a server knows of its role and of its replicas.
type replicas struct{ role, online, seconds, bytes, unapplied *probes.Desc }

func describeReplicas(d describer) replicas {
	const which = " The label counts in the order of the master's list, from 0; other is the worst of those after the eighth."
	return replicas{
		role:      d.gauge("role", "1 for what the server says it is: master, replica, active_replica (KeyDB) or other.", "role"),
		online:    d.gauge("replica_online", "Whether the replica is in step (1) or is still being synchronized (0)."+which, "replica"),
		seconds:   d.gauge("replica_lag_seconds", "Time since the replica last acknowledged, in whole seconds; absent while it is not online."+which, "replica"),
		bytes:     d.gauge("replica_lag_bytes", "Bytes of the replication stream that the replica has not acknowledged; absent while it is not online."+which, "replica"),
		unapplied: d.gauge("replication_unapplied_bytes", "On a replica, bytes received from the master and not yet applied."),
	}
}

// replica is one line slave0:ip=..,port=..,state=online,offset=44,lag=1.
type replica struct {
	online bool
	// acknowledges tells that offset, in bytes, and lag, in seconds, are known.
	// Dragonfly has no offset, and a lag in entries of its journal.
	acknowledges bool
	offset, lag  float64
}

// worse is the worse of both in each respect.
func (r replica) worse(s replica) replica {
	return replica{
		online: r.online && s.online, acknowledges: r.acknowledges && s.acknowledges,
		offset: min(r.offset, s.offset), lag: max(r.lag, s.lag),
	}
}

func parseReplica(text string) (replica, error) {
	found, err := parseParts(text)
	if err != nil {
		return replica{}, err
	}
	if found["state"] != "online" {
		// While it gets its copy it has neither an offset nor a lag that tell anything.
		return replica{}, nil
	}
	if _, ok := found["offset"]; !ok {
		return replica{online: true}, nil
	}
	offset, err := found.count("offset")
	if err != nil {
		return replica{}, err
	}
	lag, err := found.count("lag")
	if err != nil {
		return replica{}, err
	}
	return replica{online: true, acknowledges: true, offset: offset, lag: lag}, nil
}

// add adds the role, and of a master its replicas.
func (r replicas) add(reading *probes.Reading, node string, fields info) error {
	r.addRole(reading, node, fields["role"])
	written, hasWritten, err := fields.number("master_repl_offset")
	if err != nil {
		hasWritten = false // was reported as a field
	}
	errs := []error{r.addUnapplied(reading, node, fields)}
	var rest *replica
	for i := 0; ; i++ {
		name := "slave" + strconv.Itoa(i)
		text, ok := fields[name]
		if !ok {
			break
		}
		one, err := parseReplica(text)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("INFO: %s: %w", name, err))
		case i < maxReplicas:
			r.addOne(reading, node, strconv.Itoa(i), one, written, hasWritten)
		default:
			reading.Overflow++
			if rest != nil {
				one = rest.worse(one)
			}
			rest = &one
		}
	}
	if rest != nil {
		r.addOne(reading, node, other, *rest, written, hasWritten)
	}
	return joinSome(errs)
}

func (r replicas) addOne(reading *probes.Reading, node, label string, one replica, written float64, hasWritten bool) {
	if !one.online {
		reading.Add(r.online, 0, node, label)
		return
	}
	reading.Add(r.online, 1, node, label)
	if !one.acknowledges {
		return
	}
	reading.Add(r.seconds, one.lag, node, label)
	if hasWritten {
		// An acknowledgement can come between the writing of both fields.
		reading.Add(r.bytes, max(0, written-one.offset), node, label)
	}
}

func (r replicas) addRole(reading *probes.Reading, node, role string) {
	switch role {
	case "":
		return
	case "master":
	case "slave", "replica":
		role = "replica"
	case "active-replica": // of KeyDB: takes writes too
		role = "active_replica"
	default:
		role = other
		reading.Overflow++
	}
	reading.Add(r.role, 1, node, role)
}

func (r replicas) addUnapplied(reading *probes.Reading, node string, fields info) error {
	received, hasReceived, receivedErr := fields.number("slave_read_repl_offset")
	applied, hasApplied, appliedErr := fields.number("slave_repl_offset")
	if err := errors.Join(receivedErr, appliedErr); err != nil || !hasReceived || !hasApplied {
		return err
	}
	reading.Add(r.unapplied, max(0, received-applied), node)
	return nil
}
