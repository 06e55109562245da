package fleet

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Schema is the fleet's tables.
//
// nodes has a row for each node that may come; a node that is not there is not let in. Its holder is the origin process
// that has its session, and is as good as none when that process has not shown up in holders for a while. pulse is one
// row that changes with every session and every wish of the operator, so that origins need not read all nodes to learn
// that nothing has happened. rollout is one row, which the holder of the lead moves on.
func Schema() store.Schema {
	return store.Schema{
		Name:   "fleet",
		Tables: []string{"fleet_nodes", "fleet_rollout"},
		Steps: []string{`
create table fleet_nodes (
	name {text} primary key,
	region {text} not null,
	version {text} not null,
	address {text} not null,
	session {text} not null,
	holder {text} not null,
	epoch bigint not null, -- in use
	rev bigint not null,
	digest {text} not null,
	refused_epoch bigint not null, -- 0: it refuses none
	refused_rev bigint not null,
	refused_at bigint not null,
	refused_code {text} not null,
	refused_resource {text} not null,
	refused_message {text} not null,
	pinned bigint not null,
	drained bigint not null,
	reason {text} not null,
	enrolled bigint not null,
	since bigint not null, -- certificates that begin before do not count: seconds
	expires bigint not null,
	seen bigint not null,
	report_seq bigint not null,
	join_id {text} not null, -- the join token that let it in, and the key that came with it
	join_key {bytes} not null
);
create index fleet_nodes_holder on fleet_nodes (holder);
create table fleet_holders (
	id {text} primary key,
	seen bigint not null
);
create table fleet_pulse (
	id bigint primary key check (id = 1),
	n bigint not null
);
create table fleet_rollout (
	id bigint primary key check (id = 1),
	turn bigint not null, -- how often it has moved
	epoch bigint not null,
	canary bigint not null,
	tenth bigint not null,
	everyone bigint not null,
	canaries {text} not null, -- names, with spaces between them
	since bigint not null,
	held_rev bigint not null, -- 0: it is not held
	held_node {text} not null,
	held_code {text} not null,
	held_message {text} not null
);
`},
	}
}

// lifeOfHolder is how long a process that does not show up any more counts as there.
const lifeOfHolder = 12 * time.Second

// isOnline is what SQL says of nodes that are online, by the database's clock.
var isOnline = fmt.Sprintf("holder <> '' and exists (select 1 from fleet_holders h where h.id = holder and h.seen > {now} - %d)",
	lifeOfHolder.Microseconds())

// nodeColumns are what scanNode reads.
var nodeColumns = `name, region, version, address, epoch, rev, digest, refused_epoch, refused_rev, refused_at, refused_code,
	refused_resource, refused_message, pinned, drained, reason, enrolled, expires, seen, report_seq,
	case when ` + isOnline + ` then 1 else 0 end`

func scanNode(scan func(...any) error, head store.Head) (n Node, err error) {
	var refused Refused
	var at, enrolled, expires, seen int64
	var pinned, drained, online bool
	err = scan(&n.Name, &n.Region, &n.Version, &n.Address, &n.Epoch, &n.Rev, &n.Digest, &refused.Epoch, &refused.Rev, &at,
		&refused.Code, &refused.Resource, &refused.Message, &pinned, &drained, &n.Reason, &enrolled, &expires, &seen,
		&n.ReportSeq, &online)
	n.Pinned, n.Drained = pinned, drained
	n.Enrolled, n.Expires, n.Seen = timeOf(enrolled), timeOf(expires), timeOf(seen)
	if refused.At = timeOf(at); refused.Epoch != 0 {
		n.Refused = &refused
	}
	if n.Lag = head.Rev - n.Rev; n.Epoch != head.Epoch {
		n.Lag = head.Rev
	}
	switch {
	case !online:
		n.State = stateOffline
	case n.Refused != nil:
		n.State = stateHeld
	default:
		n.State = StateOnline
	}
	return n, err
}

// What a Node's State is.
const (
	StateOnline  = "online"
	stateOffline = "offline"
	stateHeld    = "held"
)

// timeOf reads a time as the tables keep it: in milliseconds, 0 for none.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// scanRollout reads the roll-out; there is none before the first origin has led.
func scanRollout(t *store.Tx) (r rollout, err error) {
	var since int64
	var canaries string
	var held Held
	err = t.Row(`select turn, epoch, canary, tenth, everyone, canaries, since, held_rev, held_node, held_code, held_message
		from fleet_rollout where id = 1`).Scan(&r.turn, &r.epoch, &r.canary, &r.tenth, &r.all, &canaries, &since,
		&held.Rev, &held.Node, &held.Code, &held.Message)
	if errors.Is(err, sql.ErrNoRows) {
		return rollout{}, nil
	}
	if err != nil {
		return rollout{}, fmt.Errorf("cannot read the roll-out: %w", err)
	}
	r.since, r.canaries = timeOf(since), splitNames(canaries)
	if held.Rev != 0 {
		r.held = &held
	}
	return r, nil
}

// errMoved is the error of who moves a roll-out that somebody else has moved meanwhile.
var errMoved = errors.New("another origin has moved the roll-out")

// save writes a roll-out down, unless somebody else has moved it.
func (r *rollout) save(t *store.Tx) error {
	var held Held
	if r.held != nil {
		held = *r.held
	}
	values := []any{r.turn + 1, r.epoch, r.canary, r.tenth, r.all, joinNames(r.canaries), r.since.UnixMilli(),
		held.Rev, held.Node, held.Code, held.Message}
	query := `update fleet_rollout set turn = ?, epoch = ?, canary = ?, tenth = ?, everyone = ?, canaries = ?, since = ?,
		held_rev = ?, held_node = ?, held_code = ?, held_message = ? where id = 1 and turn = ?`
	if r.turn == 0 {
		query = `insert into fleet_rollout (turn, epoch, canary, tenth, everyone, canaries, since,
			held_rev, held_node, held_code, held_message, id) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing`
		values = append(values, 1)
	} else {
		values = append(values, r.turn)
	}
	n, err := t.Exec(query, values...)
	if err == nil && n == 0 {
		err = errMoved
	}
	return err
}

// positionOf is a head as nodes know it.
func positionOf(h store.Head) wire.Position {
	return wire.Position{Epoch: h.Epoch, Rev: h.Rev, Chain: h.Chain}
}
