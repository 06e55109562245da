package usage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wedge-proxy/wedge/wire"
)

// record is what the store holds of a report: all its rows up to a part, or the rows of one part.
type record struct {
	through uint32 // the last part that it stands for
	period
	rows []wire.Usage
}

// layout is the first byte of a record.
const layout = 2

// oldLayout is that of records whose rows have fewer texts and numbers.
const oldLayout = 1

// texts and counted are the fields of a row, in the order in which they are written; the hour is between them.
func texts(u *wire.Usage) [12]*string {
	return [...]*string{
		&u.Model, &u.Version, &u.Experiment, &u.Arm, &u.Key, &u.Provider, &u.Target, &u.Cache, &u.Code, &u.Team, &u.Tags, &u.Prices,
	}
}

func counted(u *wire.Usage) [13]*int64 {
	return [...]*int64{
		&u.Requests, &u.Input, &u.CachedInput, &u.Output, &u.CostNano, &u.Unpriced, &u.MicrosSum, &u.TTFTSum, &u.TTFTCount,
		&u.Estimated, &u.ListNano, &u.SavedNano, &u.WasteNano,
	}
}

// How many of them the old layout has.
const (
	oldTexts   = 9
	oldCounted = 9
)

// appendRecord writes a record: varints, and texts of which those that equal the row's before are one zero.
func appendRecord(dst []byte, r record) []byte {
	dst = append(dst, layout)
	dst = binary.AppendUvarint(dst, uint64(r.through))
	dst = binary.AppendVarint(binary.AppendVarint(dst, r.from), r.to)
	dst = binary.AppendUvarint(dst, uint64(len(r.rows)))
	before := &wire.Usage{}
	for i := range r.rows {
		u := &r.rows[i]
		same := texts(before)
		for n, text := range texts(u) {
			if *text == *same[n] {
				dst = append(dst, 0)
				continue
			}
			dst = append(binary.AppendUvarint(dst, uint64(len(*text))+1), *text...)
		}
		dst = binary.AppendVarint(dst, u.Hour)
		for _, number := range counted(u) {
			dst = binary.AppendVarint(dst, *number)
		}
		latency := trim(u.Latency)
		dst = binary.AppendUvarint(dst, uint64(len(latency)))
		for _, n := range latency {
			dst = binary.AppendVarint(dst, n)
		}
		before = u
	}
	return dst
}

// trim leaves out the empty buckets at the end.
func trim(latency []int64) []int64 {
	n := len(latency)
	for n > 0 && latency[n-1] == 0 {
		n--
	}
	return latency[:n]
}

var errDamaged = errors.New("a record of the usage journal is damaged")

// parseRecord reads what appendRecord wrote. Its rows' latencies have all buckets.
func parseRecord(b []byte) (r record, err error) {
	if len(b) == 0 || b[0] != layout && b[0] != oldLayout {
		return r, fmt.Errorf("%w, or written by a newer version", errDamaged)
	}
	d := decoder{b: b[1:], old: b[0] == oldLayout}
	r.through = uint32(d.uvarint())
	r.from, r.to = d.varint(), d.varint()
	n := d.uvarint()
	if n > uint64(len(d.b)) { // a row takes more than a byte
		return record{}, errDamaged
	}
	r.rows = make([]wire.Usage, n)
	before := &wire.Usage{}
	for i := range r.rows {
		d.row(&r.rows[i], before)
		before = &r.rows[i]
	}
	if d.failed || len(d.b) > 0 {
		return record{}, errDamaged
	}
	return r, nil
}

// decoder reads from the front of b until it fails.
type decoder struct {
	b      []byte
	old    bool // the rows are in the old layout
	failed bool
}

func (d *decoder) row(u, before *wire.Usage) {
	same, all, numbers := texts(before), texts(u), counted(u)
	words, counts := all[:], numbers[:]
	if d.old {
		words, counts = words[:oldTexts], counts[:oldCounted]
	}
	for n, text := range words {
		if size := d.uvarint(); size == 0 {
			*text = *same[n]
		} else {
			*text = d.text(size - 1)
		}
	}
	u.Hour = d.varint()
	for _, number := range counts {
		*number = d.varint()
	}
	u.Latency = make([]int64, wire.LatencyBuckets)
	n := d.uvarint()
	if n > wire.LatencyBuckets {
		d.failed = true
		return
	}
	for i := range u.Latency[:n] {
		u.Latency[i] = d.varint()
	}
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	return v * d.skip(n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	return v * int64(d.skip(n))
}

// skip goes on after a number of n bytes. It is 0 if there was none.
func (d *decoder) skip(n int) uint64 {
	if d.failed = d.failed || n <= 0; d.failed {
		return 0
	}
	d.b = d.b[n:]
	return 1
}

func (d *decoder) text(size uint64) string {
	if d.failed = d.failed || size > uint64(len(d.b)); d.failed {
		return ""
	}
	text := string(d.b[:size])
	d.b = d.b[size:]
	return text
}
