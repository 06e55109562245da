// Package invoice reads what providers say that they billed, and compares it with what was counted; it knows neither
// where files come from nor how anything is counted.
package invoice

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"
)

// Line is what a model cost on a day.
type Line struct {
	Day   string // YYYY-MM-DD, in UTC
	Model string // as the provider calls it; "" where it told none
	Nano  int64  // nano-USD; negative for credits
}

// Bounds of a file.
const (
	MaxBytes = 32 << 20
	maxLines = 1_000_000
	maxCell  = 4096
)

// columns are the names that a column goes by in the providers' exports, the best first: those of OpenAI's costs
// (start_time_iso, line_item, amount_value), those of Anthropic's (usage_date_utc, model, cost_usd), and plain ones. The
// starting_at of Anthropic's API is none of them: beside it, an amount is in cents.
var columns = map[string][]string{
	"date":     {"start_time_iso", "usage_date_utc", "date_utc", "date", "usage_date", "day", "start_time", "timestamp", "time"},
	"model":    {"model", "model_version", "model_name", "line_item", "sku", "description"},
	"cost":     {"amount_value", "cost_usd", "amount_usd", "cost_in_usd", "total_usd", "cost", "amount", "total", "total_cost"},
	"currency": {"amount_currency", "currency", "currency_code"},
}

// Read reads a CSV file, with commas, semicolons or tabs between its cells. names tells the header of a column by what
// it is (date, model, cost, currency), where it is not one that exports have, and, as dates, whether days stand before
// months in dates such as 1/2/2026: dmy or mdy. The lines are in the order of the file.
func Read(data []byte, names map[string]string) ([]Line, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch {
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("it has more than %d MiB", MaxBytes>>20)
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return nil, errors.New("it is no text in UTF-8: export it as CSV")
	}
	for name := range names {
		if columns[name] == nil && name != "dates" {
			return nil, fmt.Errorf("cannot map %q: use date, model, cost, currency and dates", name)
		}
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = separator(data), -1, true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	}
	if err != nil {
		return nil, err
	}
	at, err := find(head, names)
	if err != nil {
		return nil, err
	}
	t := &tableReader{csv: r, at: at}
	if err := t.read(); err != nil {
		return nil, err
	}
	return t.lines(names["dates"], r.Comma)
}

// separator is what stands between the cells of the first line.
func separator(data []byte) rune {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	best, most := ',', 0
	for _, r := range []rune{',', ';', '\t'} {
		quoted, n := false, 0
		for _, c := range string(line) {
			switch {
			case c == '"':
				quoted = !quoted
			case c == r && !quoted:
				n++
			}
		}
		if n > most {
			best, most = r, n
		}
	}
	return best
}

// simple is a header as it is compared: Cost (USD) is cost_usd.
func simple(header string) string {
	return strings.Trim(strings.Join(strings.FieldsFunc(strings.ToLower(header), func(r rune) bool {
		return strings.ContainsRune(" _-()[]/", r)
	}), "_"), "_")
}

// find tells where columns are.
func find(head []string, names map[string]string) (map[string]int, error) {
	at := map[string]int{}
	for what, known := range columns {
		if name, ok := names[what]; ok {
			i := slices.IndexFunc(head, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), strings.TrimSpace(name)) })
			if i < 0 {
				return nil, fmt.Errorf("it has no column %q for the %s; it has %s", name, what, told(head))
			}
			at[what] = i
			continue
		}
		for _, k := range known {
			if i := slices.IndexFunc(head, func(h string) bool { return simple(h) == k }); i >= 0 {
				at[what] = i
				break
			}
		}
	}
	for _, what := range []string{"date", "cost"} {
		if _, ok := at[what]; ok {
			continue
		}
		for _, h := range head {
			if money, is := strings.CutPrefix(simple(h), "cost_"); is && what == "cost" && len(money) == 3 {
				return nil, fmt.Errorf("its costs are in %s: only USD can be compared", strings.ToUpper(money))
			}
		}
		return nil, fmt.Errorf("it has no column for the %s; it has %s: name one, such as %s=%s", what, told(head), what, "NAME")
	}
	return at, nil
}

func told(head []string) string {
	text := strings.Join(head, ", ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// tableReader collects cells, since how dates and numbers are written shows in all of them together.
type tableReader struct {
	csv  *csv.Reader
	at   map[string]int
	rows []cells
}

type cells struct {
	line              int
	date, model, cost string
}

func (t *tableReader) read() error {
	for {
		record, err := t.csv.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := t.csv.FieldPos(0)
		cell := func(what string) string {
			i, ok := t.at[what]
			if !ok || i >= len(record) {
				return ""
			}
			return strings.TrimSpace(record[i])
		}
		row := cells{line, cell("date"), cell("model"), cell("cost")}
		if row.cost == "" { // a day on which nothing was used
			continue
		}
		if c := cell("currency"); c != "" && !strings.EqualFold(c, "usd") {
			return fmt.Errorf("line %d is in %.10q: only USD can be compared", line, c)
		}
		if len(row.date)+len(row.model)+len(row.cost) > maxCell {
			return fmt.Errorf("line %d has a cell that is too long", line)
		}
		if t.rows = append(t.rows, row); len(t.rows) > maxLines {
			return fmt.Errorf("it has more than %d lines", maxLines)
		}
	}
}

// lines are the rows as they are understood.
func (t *tableReader) lines(dates string, comma rune) ([]Line, error) {
	daysFirst, err := order(t.rows, dates)
	if err != nil {
		return nil, err
	}
	decimal, err := decimalSign(t.rows, comma)
	if err != nil {
		return nil, err
	}
	type place struct{ day, model string }
	var out []Line
	index, sums := map[place]int{}, []*big.Int{}
	for _, r := range t.rows {
		day, err := parseDay(r.date, daysFirst)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
		n, err := parseAmount(r.cost, decimal)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
		at := place{day, modelOf(r.model)}
		i, ok := index[at]
		if !ok {
			i = len(out)
			index[at] = i
			out, sums = append(out, Line{Day: day, Model: at.model}), append(sums, new(big.Int))
		}
		sums[i].Add(sums[i], n)
	}
	for i, s := range sums {
		nano, ok := nanoOf(s)
		if out[i].Nano = nano; !ok {
			return nil, fmt.Errorf("what %s cost on %s is more than can be counted", out[i].Model, out[i].Day)
		}
	}
	return out, nil
}

// modelOf is the model of a line item: OpenAI's say "gpt-5-mini, input".
func modelOf(item string) string {
	model, _, _ := strings.Cut(item, ", ")
	return strings.TrimSpace(model)
}
