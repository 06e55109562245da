package usage

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Where things lie in the store. The numbers are hexadecimal, so that keys sort like them.
//
//	usage/part/LIFE/SEQ/PART  rows that were added to a report, in one flush
//	usage/report/LIFE/SEQ     all rows of a report up to a part: it stands for that part and those before it
//	usage/name/LIFE           under which incarnation what is left of a life is reported: see renamed
const (
	prefix       = "usage/"
	prefixPart   = prefix + "part/"
	prefixReport = prefix + "report/"
	prefixName   = prefix + "name/"
)

// foldParts is of how many parts a report under way consists before they are put together.
const foldParts = 200

func (j *journal) long() bool { return j.part-j.first >= j.most }

// journal writes down what belongs to the report under way. A report's rows are its record's, if there is one, and those of
// the parts after it: so it does not matter where a process dies. It is not safe for concurrent use.
type journal struct {
	kv    KV
	life  string
	first uint32 // the first part that no record stands for
	part  uint32 // the next one
	most  uint32 // parts that no record stands for, before there is to be one
	dirty bool   // something is not synced
	buf   []byte
}

// period is when a report's rows were counted, in unix milliseconds.
type period struct{ from, to int64 }

func (j *journal) partKey(seq int64, part uint32) []byte {
	return fmt.Appendf(nil, "%s%s/%016x/%08x", prefixPart, j.life, seq, part)
}

func reportKey(life string, seq int64) []byte {
	return fmt.Appendf(nil, "%s%s/%016x", prefixReport, life, seq)
}

func partsOf(life string, seq int64) []byte {
	return fmt.Appendf(nil, "%s%s/%016x/", prefixPart, life, seq)
}

// add writes rows as the next part of a report. Repeated after a failure, it writes the same part.
func (j *journal) add(seq int64, rows *sums) error {
	if rows.len() == 0 {
		return nil
	}
	j.buf = appendRecord(j.buf[:0], record{rows: rows.rows})
	if err := j.kv.Put(j.partKey(seq, j.part), j.buf); err != nil {
		return err
	}
	j.part, j.dirty = j.part+1, true
	return nil
}

// sync returns when what was written outlives a power cut.
func (j *journal) sync() error {
	if !j.dirty {
		return nil
	}
	if err := j.kv.Sync(); err != nil {
		return err
	}
	j.dirty = false
	return nil
}

// fold writes all rows of a report as one record in place of its parts, and returns its size. Later parts add to it.
func (j *journal) fold(seq int64, p period, rows *sums) (size int, err error) {
	through := j.part
	j.part++ // even if this fails: the record may be there
	if size, err = j.write(seq, p, through, rows); err != nil {
		return 0, err
	}
	for n := j.first; n < through; n++ {
		if j.kv.Delete(j.partKey(seq, n)) != nil {
			break // the record stands for them; forget will find them
		}
	}
	j.first = j.part
	return size, nil
}

// write writes the record of a report.
func (j *journal) write(seq int64, p period, through uint32, rows *sums) (size int, err error) {
	j.buf = appendRecord(j.buf[:0], record{through: through, period: p, rows: rows.rows})
	if err := j.kv.Put(reportKey(j.life, seq), j.buf); err != nil {
		return 0, err
	}
	j.dirty = true
	return len(j.buf), j.sync()
}

// next begins the journal of the next report.
func (j *journal) next() {
	j.first, j.part = 0, 0
	if cap(j.buf) > 1<<20 {
		j.buf = nil
	}
}

// read puts a report together.
func (j *journal) read(life string, seq int64) (period, []wire.Usage, error) {
	all, first := record{}, int64(0)
	value, err := j.kv.Get(reportKey(life, seq))
	switch {
	case err == nil:
		if all, err = parseRecord(value); err != nil {
			return period{}, nil, err
		}
		first = int64(all.through) + 1
	case !errors.Is(err, store.ErrNotFound):
		return period{}, nil, err
	}
	var merged *sums
	err = j.kv.Each(partsOf(life, seq), func(key, value []byte) error {
		n, err := strconv.ParseUint(string(key[len(key)-8:]), 16, 32)
		if err != nil || int64(n) < first {
			return err
		}
		part, err := parseRecord(value)
		if err != nil {
			return err
		}
		if merged == nil {
			merged = sumsOf(all.rows)
		}
		for i := range part.rows {
			merged.merge(&part.rows[i])
		}
		return nil
	})
	if merged != nil {
		all.rows = merged.rows
	}
	return all.period, all.rows, err
}

func sumsOf(rows []wire.Usage) *sums {
	s := newSums()
	for i := range rows {
		s.merge(&rows[i])
	}
	return s
}

// forget deletes a report.
func (j *journal) forget(life string, seq int64) error {
	var keys [][]byte
	err := j.kv.Each(partsOf(life, seq), func(key, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	for _, key := range append(keys, reportKey(life, seq)) {
		if err != nil {
			return err
		}
		err = j.kv.Delete(key)
	}
	return err
}

// place says of which report a key of the store is a part or the record.
func place(key, prefix string) (life string, seq int64, err error) {
	life, rest, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
	digits, _, _ := strings.Cut(rest, "/")
	seq, err = strconv.ParseInt(digits, 16, 64)
	if err != nil {
		return "", 0, fmt.Errorf("the key %q is none of the journal's", key)
	}
	return life, seq, nil
}
