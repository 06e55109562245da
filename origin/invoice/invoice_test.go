package invoice

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const openai = "\xef\xbb\xbfstart_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,project_id\n" +
	"1790467200,1790553600,2026-09-27T00:00:00+00:00,2026-09-28T00:00:00+00:00,,,,,,\n" +
	"1790553600,1790640000,2026-09-28T00:00:00+00:00,2026-09-29T00:00:00+00:00,0.003835980000000000000000000000,usd,,,\"gpt-5-mini-2025-08-07, input\",p\n" +
	"1790553600,1790640000,2026-09-28T00:00:00+00:00,2026-09-29T00:00:00+00:00,0.5,usd,1000,tokens,\"gpt-5-mini-2025-08-07, output\",p\n"

const anthropic = `usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type
2026-08-04,Claude Haiku 4.5,Default,demo-key,message,≤ 200k,input_no_cache,0.05,0.05,token
2026-08-04,Claude Haiku 4.5,Default,demo-key,message,≤ 200k,output,0.02,0.02,token
2026-08-05,,Default,demo-key,message,,,0.01,0.01,web_search
`

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		names map[string]string
		want  []Line
	}{
		"openai":                {file: openai, want: []Line{{"2026-09-28", "gpt-5-mini-2025-08-07", 503_835_980}}},
		"anthropic":             {file: anthropic, want: []Line{{"2026-08-04", "Claude Haiku 4.5", 70_000_000}, {"2026-08-05", "", 10_000_000}}},
		"plain":                 {file: "Date,Model,Cost (USD)\r\n2026/1/2,a,$1.5\r\n", want: []Line{{"2026-01-02", "a", 15e8}}},
		"semicolons":            {file: "day;model;cost\n2.1.2026;a;1.234,56\n03.01.2026;b;\"0,5\"\n", want: []Line{{"2026-01-02", "a", 1_234_560_000_000}, {"2026-01-03", "b", 5e8}}},
		"decimal comma alone":   {file: "day;cost\n20260102;1,234\n", want: []Line{{"2026-01-02", "", 1_234_000_000}}},
		"tabs":                  {file: "time\tmodel\tamount\n1767312000\ta\t1,234.5\n1767312000000\ta\t1\n", want: []Line{{"2026-01-02", "a", 1_235_500_000_000}}},
		"thousands":             {file: "date,cost\n2026-01-02,\"1,234\"\n2026-01-03,1 000.25\n2026-01-04,1'000'000\n", want: []Line{{"2026-01-02", "", 1234e9}, {"2026-01-03", "", 1000_250_000_000}, {"2026-01-04", "", 1_000_000e9}}},
		"days first":            {file: "date,cost\n1/2/2026,1\n13/2/2026,1\n", want: []Line{{"2026-02-01", "", 1e9}, {"2026-02-13", "", 1e9}}},
		"months first":          {file: "date,cost\n1/2/2026,1\n1/13/2026,1\n", want: []Line{{"2026-01-02", "", 1e9}, {"2026-01-13", "", 1e9}}},
		"said":                  {file: "date,cost\n1/2/2026,1\n", names: map[string]string{"dates": "dmy"}, want: []Line{{"2026-02-01", "", 1e9}}},
		"zones":                 {file: "date,cost\n2026-01-02T23:30:00-05:00,1\n\"Jan 2, 2026\",1e-3\n", want: []Line{{"2026-01-03", "", 1e9}, {"2026-01-02", "", 1e6}}},
		"credits":               {file: "date,cost\n2026-01-02,(1.25)\n2026-01-03,-0.25\n", want: []Line{{"2026-01-02", "", -125e7}, {"2026-01-03", "", -25e7}}},
		"rounded":               {file: "date,cost\n2026-01-02,0.0000000004\n2026-01-02,0.0000000004\n2026-01-03,0.0000000004\n", want: []Line{{"2026-01-02", "", 1}, {"2026-01-03", "", 0}}},
		"named":                 {file: "Tag,Was,Wieviel\n2026-01-02,a,2\n", names: map[string]string{"date": "tag", "model": "Was", "cost": "Wieviel"}, want: []Line{{"2026-01-02", "a", 2e9}}},
		"lines inside of cells": {file: "date,model,cost\n2026-01-02,\"a\nb\",2\n", want: []Line{{"2026-01-02", "a\nb", 2e9}}},
		"nothing":               {file: "date,cost\n"},
	} {
		got, err := Read([]byte(c.file), c.names)
		require.NoError(t, err, name)
		assert.Equal(t, c.want, got, name)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		names map[string]string
		says  string
	}{
		"empty":           {file: "", says: "empty"},
		"no text":         {file: "PK\x03\x04\x00", says: "UTF-8"},
		"cents":           {file: "starting_at,amount,currency,model\n", says: "no column for the date"},
		"no date":         {file: "a,cost\n", says: "no column for the date; it has a, cost"},
		"no cost":         {file: "date,b\n", says: "no column for the cost"},
		"euros":           {file: "date,cost,currency\n2026-01-02,1,EUR\n", says: `line 2 is in "EUR": only USD`},
		"euros in a cell": {file: "date,cost\n2026-01-02,€1\n", says: "not in USD"},
		"euros in a head": {file: "date,Cost (EUR)\n2026-01-02,1\n", says: "in EUR"},
		"bad date":        {file: "date,cost\nyesterday,1\n", says: `line 2: cannot read "yesterday" as a date`},
		"no such day":     {file: "date,cost\n31/2/2026,1\n", says: "as a date"},
		"bad amount":      {file: "date,cost\n2026-01-02,\n2026-01-02,much\n", says: `line 3: cannot read "much"`},
		"bad groups":      {file: "date,cost\n2026-01-02,\"1,23,456.0\"\n", says: "amount"},
		"mixed amounts":   {file: "date;cost\n2026-01-02;1,5\n2026-01-03;1.5\n", says: "after a point, and in others after a comma"},
		"mixed dates":     {file: "date,cost\n13/1/2026,1\n1/13/2026,1\n", says: "in others months"},
		"unclear dates":   {file: "date,cost\n1/2/2026,1\n", says: "dates=dmy or dates=mdy"},
		"huge":            {file: "date,cost\n2026-01-02,99999999999999\n", says: "more than can be counted"},
		"huge exponent":   {file: "date,cost\n2026-01-02,1e99\n", says: "amount"},
		"no such column":  {file: "date,cost\n", names: map[string]string{"model": "sku"}, says: `no column "sku" for the model`},
		"bad name":        {file: "date,cost\n", names: map[string]string{"colour": "x"}, says: "colour"},
		"bad dates":       {file: "date,cost\n", names: map[string]string{"dates": "ymd"}, says: "dmy or mdy"},
		"bad quotes":      {file: "date,cost\n\"2026-01-02,1\n", says: `extraneous or missing`},
	} {
		_, err := Read([]byte(c.file), c.names)
		require.ErrorContains(t, err, c.says, name)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(openai), "")
	f.Add([]byte(anthropic), "dmy")
	f.Add([]byte("day;model;cost\n2.1.2026;a;1.234,56\n1/2/2026;b;(1e3)\n"), "mdy")
	f.Fuzz(func(t *testing.T, file []byte, dates string) {
		names := map[string]string{}
		if dates != "" {
			names["dates"] = dates
		}
		lines, err := Read(file, names)
		if err != nil {
			assert.Empty(t, lines)
			return
		}
		seen := map[[2]string]bool{}
		for _, l := range lines {
			assert.Regexp(t, `^2\d\d\d-[01]\d-[0-3]\d$`, l.Day)
			assert.False(t, seen[[2]string{l.Day, l.Model}])
			seen[[2]string{l.Day, l.Model}] = true
		}
		var counted []Counted
		for _, l := range lines {
			counted = append(counted, Counted{Line: l})
		}
		r := Compare(lines, counted, 0)
		assert.True(t, r.Matched, "a bill matches itself")
	})
}

func TestCanonical(t *testing.T) {
	for model, want := range map[string]string{
		"Claude Haiku 4.5": "claude-haiku-4-5", "claude-haiku-4-5-20251001": "claude-haiku-4-5", "gpt-4.1-mini-2025-04-14": "gpt-4-1-mini",
		"models/gemini-2.5-flash": "gemini-2-5-flash", "claude-3-5-haiku-latest": "claude-3-5-haiku", "claude-haiku-4-5@20251001": "claude-haiku-4-5",
		"deepseek-v3": "deepseek-v3", "gpt-4o": "gpt-4o", "": "",
	} {
		assert.Equal(t, want, Canonical(model), model)
	}
}

func percent(p float64) *float64 { return &p }

func TestCompare(t *testing.T) {
	bill := []Line{
		{"2026-01-02", "gpt-5-mini-2025-08-07", 10e9}, {"2026-01-02", "gpt-5", 1e9}, {"2026-01-03", "gpt-5", 20e9}, {"2026-01-03", "", 5e9},
	}
	counted := []Counted{
		{Line{"2026-01-02", "gpt-5-mini", 9e9}, 2}, {Line{"2026-01-02", "gpt-5", 1e9 + 9_000_000}, 0}, {Line{"2026-01-03", "gpt-5", 20e9 + 2e8}, 0},
		{Line{"2026-01-03", "o3", 3e9}, 0},
	}
	r := Compare(bill, counted, 1)
	assert.Equal(t, []Compared{
		{Day: "2026-01-02", Model: "gpt-5", Status: Matched, Billed: 1e9, Counted: 1_009_000_000, Diff: 9_000_000, Percent: percent(0.9)},
		{Day: "2026-01-02", Model: "gpt-5-mini-2025-08-07", Status: Different, Billed: 10e9, Counted: 9e9, Diff: -1e9, Percent: percent(-10), Unpriced: 2},
		{Day: "2026-01-03", Model: "", Status: Uncounted, Billed: 5e9, Diff: -5e9, Percent: percent(-100)},
		{Day: "2026-01-03", Model: "gpt-5", Status: Matched, Billed: 20e9, Counted: 202e8, Diff: 2e8, Percent: percent(1)},
		{Day: "2026-01-03", Model: "o3", Status: Unbilled, Counted: 3e9, Diff: 3e9},
	}, r.Lines)
	assert.False(t, r.Matched)
	assert.Equal(t, map[string]int{Matched: 2, Different: 1, Unbilled: 1, Uncounted: 1}, r.Count)
	assert.Len(t, r.Days, 2)
	assert.Equal(t, []int64{36e9, 33_209_000_000}, []int64{r.Total.Billed, r.Total.Counted})
	assert.Equal(t, 2, Compare(bill, counted, 0.5).Count[Different])

	ends := Compare([]Line{{"2026-01-02", "a", math.MaxInt64}, {"2026-01-02", "b", math.MaxInt64}, {"2026-01-02", "c", -math.MaxInt64}}, nil, 0)
	assert.Equal(t, int64(0), ends.Total.Billed)
	var cents []Line
	for _, model := range strings.Split("abcdefghij", "") {
		cents = append(cents, Line{"2026-01-02", model, least})
	}
	r = Compare(cents, nil, 1)
	assert.Equal(t, len(cents), r.Count[Matched])
	assert.Equal(t, Uncounted, r.Total.Status)
	assert.False(t, r.Matched, "cents come to dollars")
	empty := Compare(nil, nil, 0)
	assert.True(t, empty.Matched)
	assert.Equal(t, Matched, empty.Total.Status)
}

func TestReadRefusesWhatIsTooLarge(t *testing.T) {
	_, err := Read([]byte(strings.Repeat("a", MaxBytes+1)), nil)
	require.ErrorContains(t, err, "32 MiB")
	_, err = Read([]byte("date,model,cost\n2026-01-02,"+strings.Repeat("m", maxCell)+",1\n"), nil)
	require.ErrorContains(t, err, "too long")
}
