package invoice

import (
	"cmp"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// What became of a line.
const (
	Matched   = "matched"
	Different = "different"
	Unbilled  = "not_billed"  // nodes reported it, and the bill does not have it
	Uncounted = "not_counted" // it is on the bill, and no node reported it
)

// Compared is a line of the bill beside what was counted.
type Compared struct {
	Day      string   `json:"day,omitempty"` // in UTC; absent from a total
	Model    string   `json:"model,omitempty"`
	Status   string   `json:"status"` // matched, different, not_billed or not_counted
	Billed   int64    `json:"billed_nano_usd"`
	Counted  int64    `json:"counted_nano_usd"`
	Diff     int64    `json:"diff_nano_usd"`          // counted less billed
	Percent  *float64 `json:"diff_percent,omitempty"` // of what is billed; absent where nothing is
	Unpriced int64    `json:"unpriced,omitempty"`     // answers whose cost is not known, and so not counted
}

// Result is a bill beside what was counted.
type Result struct {
	Lines []Compared `json:"lines"` // by day and model
	Days  []Compared `json:"days"`
	Total Compared   `json:"total"`
	// Matched tells that every line and the total are: many lines that a cent does not tell apart may come to much.
	Matched bool           `json:"matched"`
	Count   map[string]int `json:"count"` // of lines, by status
}

// Counted is what was counted of a model on a day.
type Counted struct {
	Line
	Unpriced int64
}

// least is the difference that nobody asks about: a cent, since bills are rounded.
const least = 10_000_000

// snapshot is what stands behind a model's name: its date, or that it is the latest.
var snapshot = regexp.MustCompile(`(-20\d\d-?[01]\d-?[0-3]\d|-latest)+$`)

// Canonical is a model's name as it is compared: Claude Haiku 4.5 is claude-haiku-4-5, and so is its snapshot of a date.
func Canonical(model string) string {
	model = strings.ToLower(strings.TrimSpace(model))
	if i := strings.LastIndexByte(model, '/'); i >= 0 {
		model = model[i+1:]
	}
	model = strings.NewReplacer(" ", "-", ".", "-", "_", "-", "@", "-", ":", "-").Replace(model)
	return snapshot.ReplaceAllString(model, "")
}

// Compare puts a bill beside what was counted. Amounts match that differ by no more than a cent, or than tolerance
// percent of what is billed.
func Compare(bill []Line, counted []Counted, tolerance float64) Result {
	type place struct{ day, model string }
	lines, days := map[place]*Compared{}, map[string]*Compared{}
	var r Result
	put := func(day, model string, billed, counted, unpriced int64) {
		at := place{day, Canonical(model)}
		if lines[at] == nil {
			lines[at] = &Compared{Day: day, Model: model}
		}
		if days[day] == nil {
			days[day] = &Compared{Day: day}
		}
		for _, c := range []*Compared{lines[at], days[day], &r.Total} {
			c.Billed, c.Counted, c.Unpriced = added(c.Billed, billed), added(c.Counted, counted), added(c.Unpriced, unpriced)
		}
	}
	for _, l := range bill {
		put(l.Day, l.Model, l.Nano, 0, 0)
	}
	for _, l := range counted {
		put(l.Day, l.Model, 0, l.Nano, l.Unpriced)
	}
	r.Matched, r.Count = true, map[string]int{Matched: 0, Different: 0, Unbilled: 0, Uncounted: 0}
	for _, c := range lines {
		c.judge(tolerance)
		r.Count[c.Status]++
		r.Matched = r.Matched && c.Status == Matched
	}
	for _, c := range days {
		c.judge(tolerance)
	}
	r.Total.judge(tolerance)
	r.Matched = r.Matched && r.Total.Status == Matched
	r.Lines, r.Days = inOrder(lines), inOrder(days)
	return r
}

// added is a sum that ends where numbers do.
func added(a, b int64) int64 {
	switch sum := a + b; {
	case b > 0 && sum < a:
		return math.MaxInt64
	case b < 0 && sum > a:
		return -math.MaxInt64
	default:
		return sum
	}
}

// judge says how far apart the two are.
func (c *Compared) judge(tolerance float64) {
	c.Diff = added(c.Counted, -c.Billed)
	if c.Billed != 0 {
		hundredfold := new(big.Int).Mul(big.NewInt(c.Diff), big.NewInt(100))
		ratio, _ := new(big.Rat).SetFrac(hundredfold, new(big.Int).Abs(big.NewInt(c.Billed))).Float64()
		c.Percent = &ratio
	}
	switch apart := max(c.Diff, -c.Diff); {
	case apart <= least, c.Percent != nil && max(*c.Percent, -*c.Percent) <= tolerance:
		c.Status = Matched
	case c.Billed == 0:
		c.Status = Unbilled
	case c.Counted == 0:
		c.Status = Uncounted
	default:
		c.Status = Different
	}
}

func inOrder[K comparable](all map[K]*Compared) []Compared {
	list := make([]Compared, 0, len(all))
	for _, c := range all {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Compared) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.Model, b.Model))
	})
	return list
}
