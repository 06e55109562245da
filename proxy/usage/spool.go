package usage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// spool is the reports that the origin has not counted yet, the oldest first. Nothing in it changes any more, so it does
// not matter which of them were sent before.
type spool struct {
	reports []report
	size    int64              // bytes on the disk
	names   map[string]renamed // of lives
	offered *wire.Report       // the first one, once it was asked for
	tries   int                // to read the first one
}

// report is where a report lies.
type report struct {
	life string
	seq  int64
	size int
	kept *sums  // the rows, where the disk refused them
	when period // of kept
}

// renamed is the incarnation under which a life's reports are sent after the one numbered Base, which is number 0 there.
// An origin that was restored from a backup does not know the reports that it counted since, and the node has forgotten
// them: so it would never count one that follows them.
type renamed struct {
	As   string `json:"as"`
	Base int64  `json:"base"`
}

// leftovers finds what earlier lives left in the store.
func (j *journal) leftovers() (spool, error) {
	s := spool{names: map[string]renamed{}}
	err := j.kv.Each([]byte(prefixName), func(key, value []byte) error {
		var name renamed
		err := json.Unmarshal(value, &name)
		s.names[strings.TrimPrefix(string(key), prefixName)] = name
		return err
	})
	sizes := map[report]int{}
	for _, prefix := range [...]string{prefixPart, prefixReport} {
		if err != nil {
			break
		}
		err = j.kv.Each([]byte(prefix), func(key, value []byte) error {
			life, seq, err := place(string(key), prefix)
			if err == nil && seq > s.names[life].Base {
				sizes[report{life: life, seq: seq}] += len(value)
			}
			return err
		})
	}
	used := map[string]bool{}
	for r, size := range sizes {
		r.size = size
		s.push(r)
		used[r.life] = true
	}
	for life := range s.names {
		if !used[life] && err == nil {
			_ = j.kv.Delete([]byte(prefixName + life)) // the next life tries again
		}
	}
	slices.SortFunc(s.reports, func(a, b report) int {
		if a.life != b.life {
			return strings.Compare(a.life, b.life)
		}
		return int(a.seq - b.seq)
	})
	return s, err
}

func (s *spool) push(r report) {
	s.reports = append(s.reports, r)
	s.size += int64(r.size)
}

// unwritten is the report that the disk refused, or nil. There is one at most: until it is written or counted, the next
// one stays open.
func (s *spool) unwritten() *report {
	if n := len(s.reports); n > 0 && s.reports[n-1].kept != nil {
		return &s.reports[n-1]
	}
	return nil
}

// limit is how many rows a report has before it gets coarser: the fewer, the more waits already.
func (s *spool) limit(most int, room int64) int {
	switch {
	case s.size < room:
		return most
	case s.size < 2*room:
		return max(1, most/10)
	}
	return max(1, most/100)
}

// Next is the report that the origin is to count next, the same one until it was Sent; false if there is none, or it
// cannot be read now. Its session is left out.
func (u *Usage) Next() (*wire.Report, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &u.spool
	if s.offered == nil && len(s.reports) > 0 {
		s.offered = u.load(&s.reports[0])
	}
	return s.offered, s.offered != nil
}

// maxTries is how often a report is read before it is given up.
const maxTries = 5

// load reads a report. One that is damaged is sent without rows, for those after it could not be counted otherwise.
func (u *Usage) load(r *report) *wire.Report {
	when, rows := r.when, []wire.Usage(nil)
	if r.kept != nil {
		rows = slices.Clone(r.kept.rows)
	} else {
		var err error
		if when, rows, err = u.journal.read(r.life, r.seq); err != nil {
			if u.spool.tries++; u.spool.tries < maxTries {
				u.o.Log.Warn("cannot read a usage report; it is tried again", "incarnation", r.life, "seq", r.seq, "err", err)
				return nil
			}
			u.o.Log.Error("a usage report cannot be read and is given up: what it counted is lost",
				"incarnation", r.life, "seq", r.seq, "err", err)
		}
	}
	u.spool.tries = 0
	for i := range rows {
		rows[i].Latency = trim(rows[i].Latency)
	}
	incarnation, base := r.life, int64(0)
	if name, ok := u.spool.names[r.life]; ok {
		incarnation, base = name.As, name.Base
	}
	return &wire.Report{Incarnation: incarnation, Seq: r.seq - base, From: when.from, To: when.to, Usage: rows}
}

// Sent forgets the reports that the origin says it has counted, of the incarnation of the one that Next gave.
func (u *Usage) Sent(reply wire.ReportReply) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &u.spool
	if s.offered == nil || len(s.reports) == 0 {
		return
	}
	life := s.reports[0].life
	counted := reply.Seq + s.names[life].Base
	n := 0
	for n < len(s.reports) && s.reports[n].life == life && s.reports[n].seq <= counted {
		r := &s.reports[n]
		if err := u.journal.forget(r.life, r.seq); err != nil { // the next life sends it again, and it is a duplicate
			u.o.Log.Warn("cannot delete a usage report that was counted", "incarnation", r.life, "seq", r.seq, "err", err)
		}
		s.size -= int64(r.size)
		n++
	}
	if n > 0 {
		s.reports = slices.Delete(s.reports, 0, n)
		s.offered = nil
	}
	u.wake()
}

// Gap is to be called when the origin answers the report that Next gave with a gap: it does not know the ones before it,
// which it counted once, for it was restored from an earlier state. What is left is reported under a new incarnation.
func (u *Usage) Gap() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &u.spool
	if s.offered == nil || len(s.reports) == 0 {
		return nil
	}
	first := s.reports[0]
	name := renamed{As: newLife(u.o.Now()), Base: first.seq - 1}
	value, err := json.Marshal(name)
	if err == nil {
		err = u.journal.kv.Put([]byte(prefixName+first.life), value)
	}
	if err == nil {
		err = u.journal.kv.Sync()
	}
	if err != nil {
		return fmt.Errorf("usage: cannot renumber the reports after %d of incarnation %s, which the origin does not know: %w",
			name.Base, first.life, err)
	}
	u.o.Log.Warn("the origin has forgotten usage reports that it counted; it may have been restored from a backup",
		"incarnation", first.life, "reports", name.Base)
	s.names[first.life], s.offered = name, nil
	u.wake()
	return nil
}
