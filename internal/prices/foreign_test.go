package prices

import (
	"math/big"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/wire"
)

type reader func([]byte) ([]wire.Price, []Skip, error)

// read reads a file of testdata, and writes the prices as a catalog does.
func read(t *testing.T, file string, with reader) (entries []string, skipped []Skip) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	list, skipped, err := with(data)
	require.NoError(t, err)
	for i := range list {
		require.NoError(t, valid(list[i]))
		entries = append(entries, string(AppendJSON(nil, &list[i])))
	}
	return entries, skipped
}

func TestLiteLLM(t *testing.T) {
	entries, skipped := read(t, "litellm.json", FromLiteLLM)
	assert.Equal(t, []string{
		`{"provider":"aiml","model":"dall-e-3","image_usd":0.052}`,
		`{"provider":"anthropic","model":"claude-sonnet-4-5","input":3,"cached_input":0.3,"cache_write":3.75,"cache_write_hour":6,"output":15,` +
			`"tiers":[{"above":200000,"input":6,"cached_input":0.6,"cache_write":7.5,"cache_write_hour":12,"output":22.5}]}`,
		`{"provider":"dashscope","model":"qwen3-coder-plus","input":1,"cached_input":0.1,"output":5,"tiers":[` +
			`{"above":32000,"input":1.8,"cached_input":0.18,"output":9},{"above":128000,"input":3,"cached_input":0.3,"output":15},` +
			`{"above":256000,"input":6,"cached_input":0.6,"output":60}]}`,
		`{"provider":"databricks","model":"databricks-claude-3-7-sonnet","input":2.99999,"output":15.00002}`,
		`{"provider":"deepseek","model":"deepseek-chat","input":0.28,"cached_input":0.028,"output":0.42}`,
		`{"provider":"openai","model":"gpt-4o-2024-08-06","input":2.5,"cached_input":1.25,"output":10,"batch":50}`,
		`{"provider":"openai","model":"gpt-4o-audio-preview","input":2.5,"audio_input":100,"output":10,"audio_output":200}`,
		`{"provider":"openai","model":"text-embedding-3-small","input":0.02,"output":0,"batch":50}`,
		`{"provider":"openai","model":"tts-1","letters":15}`,
		`{"provider":"openai","model":"whisper-1","second_usd":0.0001}`,
	}, entries)
	assert.Equal(t, []Skip{
		{"openai", "1024-x-1024/dall-e-2", "input_cost_per_pixel", "no price of a catalog can say it"},
		{"openai", "1024-x-1024/dall-e-2", "", "it has no price"},
		{"anthropic", "claude-sonnet-4-5", "search_context_cost_per_query", "no price of a catalog can say it"},
		{"dashscope", "qwen-image-2.0", "", "it has no price"},
		{"databricks", "databricks-claude-3-7-sonnet", "input_dbu_cost_per_token", "no price of a catalog can say it"},
		{"github_copilot", "gpt-4o", "", "its price is 0, which may mean that nobody knows it; if it is free, write so yourself"},
		{"openai", "gpt-4o-2024-08-06", "cache_read_input_token_cost_priority", "service tiers have no prices of their own"},
		{"openai", "gpt-4o-2024-08-06", "", "the table has it twice"},
	}, skipped)
}

func TestModelsDev(t *testing.T) {
	entries, skipped := read(t, "modelsdev.json", FromModelsDev)
	assert.Equal(t, []string{
		`{"provider":"anthropic","model":"claude-haiku-4-5","input":1,"cached_input":0.1,"cache_write":1.25,"output":5}`,
		`{"provider":"anthropic","model":"claude-sonnet-4-5","input":3,"cached_input":0.3,"cache_write":3.75,"output":15,` +
			`"tiers":[{"above":200000,"input":6,"cached_input":0.6,"cache_write":7.5,"output":22.5}]}`,
		`{"provider":"google","model":"gemini-2.5-flash","input":0.3,"cached_input":0.075,"audio_input":1,"output":2.5}`,
		`{"provider":"openai","model":"gpt-5.5","input":5,"cached_input":0.5,"output":30,"tiers":[{"above":272000,"input":10,"cached_input":1,"output":45}]}`,
		`{"provider":"openai","model":"text-embedding-3-small","input":0.02,"output":0}`,
	}, entries)
	assert.Equal(t, []Skip{
		{"github-copilot", "gpt-4o", "", "its price is 0, which may mean that nobody knows it; if it is free, write so yourself"},
		{"google", "gemini-2.5-flash", "output_video", "no price of a catalog can say it"},
		{"openai", "codex-mini", "", "it has no price"},
	}, skipped)

	data, err := os.ReadFile("testdata/modelsdev.json")
	require.NoError(t, err)
	whole, _, err := FromModelsDev([]byte(`{"models":{"openai/gpt-5.5":{}},"providers":` + string(data) + `}`))
	require.NoError(t, err)
	assert.Len(t, whole, len(entries), "catalog.json has the providers within")
}

func TestGenaiPrices(t *testing.T) {
	entries, skipped := read(t, "genai.json", FromGenaiPrices)
	assert.Contains(t, entries, `{"provider":"openai","model":"gpt-5","input":1.25,"cached_input":0.125,"output":10}`)
	assert.Contains(t, entries, `{"provider":"openai","model":"o3","from":"2025-06-10","input":2,"cached_input":0.5,"output":8}`)
	assert.Contains(t, entries, `{"provider":"perplexity","model":"sonar","input":1,"output":1,"request_usd":0.012}`)
	whole := map[string]string{}
	for _, s := range skipped {
		if s.Field == "" {
			whole[s.Model] = s.Why
		}
	}
	assert.Equal(t, map[string]string{
		"phi-4-reasoning:free":      "it has no price",
		"gemini-omni-flash-preview": "no price of a catalog can say output_video_mtok",
		"mistral-ocr-2503":          "no price of a catalog can say input_document_kpages",
		"sonar-deep-research":       "no price of a catalog can say output_citation_mtok",
	}, whole)
	assert.Contains(t, skipped, Skip{"openai", "gpt-5", "web_searches_kcount", "what tools do is not counted"})
}

func TestOddTables(t *testing.T) {
	for what, row := range map[string]struct {
		with reader
		data string
		want string // why the model is left out
	}{
		"litellm: a text":        {FromLiteLLM, `{"m":{"litellm_provider":"l","input_cost_per_token":"much"}}`, "input_cost_per_token is no price"},
		"litellm: negative":      {FromLiteLLM, `{"m":{"litellm_provider":"l","input_cost_per_token":-1}}`, "input_cost_per_token is no price"},
		"litellm: too much":      {FromLiteLLM, `{"m":{"litellm_provider":"l","input_cost_per_token":2}}`, "input_cost_per_token is no price"},
		"litellm: null":          {FromLiteLLM, `{"m":{"litellm_provider":"l","input_cost_per_token":null}}`, "it has no price"},
		"litellm: no model":      {FromLiteLLM, `{"m":7}`, "it has no litellm_provider"},
		"litellm: output only":   {FromLiteLLM, `{"m":{"litellm_provider":"l","output_cost_per_token":1e-6}}`, "it has no price"},
		"litellm: tiers":         {FromLiteLLM, `{"m":{"litellm_provider":"l","tiered_pricing":7}}`, "tiered_pricing is no list of tiers"},
		"litellm: ranges":        {FromLiteLLM, `{"m":{"litellm_provider":"l","tiered_pricing":[{"max_results_range":[0,25],"input_cost_per_query":5}]}}`, "a tier has no range"},
		"litellm: tiers' prices": {FromLiteLLM, `{"m":{"litellm_provider":"l","tiered_pricing":[{"range":[0,25],"input_cost_per_token":[]}]}}`, "a tier's input_cost_per_token is no price"},
		"models.dev: a text":     {FromModelsDev, `{"l":{"models":{"m":{"cost":{"input":"x"}}}}}`, "input is no price"},
		"models.dev: list":       {FromModelsDev, `{"l":{"models":[]}}`, "its models are no object"},
		"models.dev: tiers":      {FromModelsDev, `{"l":{"models":{"m":{"cost":{"input":1,"tiers":{}}}}}}`, "tiers is no list"},
		"models.dev: a tier":     {FromModelsDev, `{"l":{"models":{"m":{"cost":{"input":1,"tiers":[{"tier":{"type":"time","size":7},"input":1}]}}}}}`, "a tier is not of the context's length"},
		"models.dev: 200k":       {FromModelsDev, `{"l":{"models":{"m":{"cost":{"input":1,"context_over_200k":7}}}}}`, "context_over_200k is no object"},
		"genai: a number":        {FromGenaiPrices, `[{"id":"l","models":[{"id":"m","prices":7}]}]`, "its prices are neither an object nor a list"},
		"genai: no date":         {FromGenaiPrices, `[{"id":"l","models":[{"id":"m","prices":[{"prices":{"input_mtok":1}},{"constraint":{"start_date":"soon"},"prices":{"input_mtok":1}}]}]}]`, "its date soon is none"},
		"genai: no base":         {FromGenaiPrices, `[{"id":"l","models":[{"id":"m","prices":{"input_mtok":{"tiers":[{"start":5,"price":1}]}}}]}]`, "input_mtok is no price"},
		"genai: a tier of 0":     {FromGenaiPrices, `[{"id":"l","models":[{"id":"m","prices":{"input_mtok":{"base":1,"tiers":[{"start":0,"price":1}]}}}]}]`, "input_mtok is no price"},
		"genai: a text":          {FromGenaiPrices, `[{"id":"l","models":[{"id":"m","prices":{"requests_kcount":"x"}}]}]`, "no price of a catalog can say requests_kcount"},
		"genai: free":            {FromGenaiPrices, `[{"id":"l","models":[{"id":"m","prices":{"input_mtok":0,"output_mtok":0}}]}]`, "its price is 0, which may mean that nobody knows it; if it is free, write so yourself"},
	} {
		list, skipped, err := row.with([]byte(row.data))
		require.NoError(t, err, what)
		assert.Empty(t, list, what)
		require.NotEmpty(t, skipped, what)
		assert.Equal(t, row.want, skipped[len(skipped)-1].Why, what)
	}
	for _, with := range []reader{FromLiteLLM, FromModelsDev, FromGenaiPrices} {
		for _, data := range []string{"", "7", "nonsense", `"text"`} {
			_, _, err := with([]byte(data))
			assert.ErrorContains(t, err, "cannot read ", data)
		}
	}
	_, _, err := FromModelsDev([]byte(`{"providers":[]}`))
	assert.Error(t, err)
	uneven, _, err := FromLiteLLM([]byte(`{"m":{"litellm_provider":"l","input_cost_per_token":3e-6,"output_cost_per_token":1e-5,
		"input_cost_per_token_batches":1e-6,"output_cost_per_token_batches":5e-6}}`))
	require.NoError(t, err)
	assert.Equal(t, 100, uneven[0].Batch, "a third is no whole per cent")
}

func TestFixed(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "0.0": 0, "1": 1e6, "1.25": 1_250_000, "0.000001": 1, "0.0000004": 0, "0.0000005": 1, "0.0000015": 2, "1e-6": 1, "1.5E+1": 15_000_000,
		"0.18000000000000002": 180_000, "0.08333333333333334": 83_333, "1e-300": 0, "0e999": -1, "1000000": most, "1000000.0000005": -1, "1000001": -1, "1e300": -1,
		"": -1, "-1": -1, "-0.1": -1, ".5": -1, "1.": 1e6, "1e": -1, "1e5x": -1, "NaN": -1, "Inf": -1, "0x10": -1, "1_0": -1, "1e99999999999": -1, "00001.5": 1_500_000,
	} {
		n, ok := fixed(text, 6)
		if want < 0 {
			assert.False(t, ok, text)
			continue
		}
		assert.True(t, ok, text)
		assert.Equal(t, want, n, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, most).Draw(t, "n")
		places := rapid.IntRange(1, 12).Draw(t, "places")
		text := string(AppendDecimal(nil, n, places))
		got, ok := fixed(text, places)
		require.True(t, ok)
		require.Equal(t, n, got, text)
		f, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		got, ok = fixed(strconv.FormatFloat(f, 'e', -1, 64), places)
		require.True(t, ok)
		require.Equal(t, n, got, "in the other notation")
	})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{1,8}(\.[0-9]{1,20})?(e-[0-9]{1,2})?`).Draw(t, "text")
		n, ok := fixed(text, 9)
		exact, parsed := new(big.Rat).SetString(text)
		require.True(t, parsed)
		exact.Mul(exact, big.NewRat(1e9, 1))
		if !ok {
			require.Positive(t, exact.Cmp(new(big.Rat).SetInt64(most)), text)
			return
		}
		off := new(big.Rat).Sub(exact, new(big.Rat).SetInt64(n))
		require.LessOrEqual(t, off.Abs(off).Cmp(big.NewRat(1, 2)), 0, text)
	})
}

// Whatever a price says, it says the same after it has been written and read.
func TestPricesAsCatalogsWriteThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tariff := func() wire.Tariff {
			w := wire.SilentTariff()
			for _, c := range w.Classes() {
				if rapid.Bool().Draw(t, c.Name+" said") {
					*c.Price = rapid.SampledFrom([]int64{0, 1, 125_000, 1_250_000, most}).Draw(t, c.Name)
				}
			}
			return w
		}
		p := wire.Price{Provider: "p", Model: rapid.StringN(1, 20, -1).Draw(t, "model"), Tariff: tariff(), Batch: rapid.IntRange(1, 100).Draw(t, "batch"),
			Request: rapid.Int64Range(1, most).Draw(t, "request"), Second: rapid.Int64Range(0, 9).Draw(t, "second")}
		for i := range rapid.IntRange(0, 3).Draw(t, "tiers") {
			p.Tiers = append(p.Tiers, wire.PriceTier{Above: int64(i + 1), Tariff: tariff()})
		}
		settle(&p)
		text := AppendJSON(nil, &p)
		if err := valid(p); err != nil {
			require.ErrorContains(t, err, "model", "only a name may be none: %s", text)
		}
	})
}

func TestDatesAsCatalogsWriteThem(t *testing.T) {
	for from, want := range map[time.Time]string{
		{}: `{"model":"m","input":1}`,
		time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC):                       `{"model":"m","from":"2027-01-02","input":1}`,
		time.Date(2027, 1, 2, 1, 0, 0, 0, time.FixedZone("later", 60*60)): `{"model":"m","from":"2027-01-02","input":1}`,
		time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC):                       `{"model":"m","from":"2027-01-02T03:04:05Z","input":1}`,
	} {
		p := wire.Price{Model: "m", From: from, Tariff: wire.SilentTariff()}
		p.Input = 1_000_000
		settle(&p)
		assert.Equal(t, want, string(AppendJSON(nil, &p)))
	}
}

func FuzzReaders(f *testing.F) {
	for _, file := range []string{"litellm.json", "modelsdev.json", "genai.json"} {
		data, err := os.ReadFile("testdata/" + file)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(`{"m":{"litellm_provider":"l","input_cost_per_token":1e-6,"input_cost_per_token_above_9999999k_tokens":1,"tiered_pricing":[{"range":[1,null]}]}}`))
	f.Add([]byte(`[{"id":"l","api_pattern":"x","models":[{"id":"m","match":{"or":[]},"prices":[{"prices":{"input_mtok":{"base":1,"tiers":[{"start":3,"price":2}]}}}]}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, with := range []reader{FromLiteLLM, FromModelsDev, FromGenaiPrices} {
			list, _, err := with(data)
			if err != nil {
				require.Empty(t, list)
			}
			for i := range list {
				p := list[i]
				p.Model = "m" // names may be anything
				require.NoError(t, valid(p), "%s", AppendJSON(nil, &list[i]))
			}
		}
		if packed, _, err := Pack(data, "1", "2026-01-01"); err == nil {
			i := 0
			require.NoError(t, lines(packed, func(at int, line []byte) bool {
				if at > 0 {
					l, err := decode("l", line)
					require.NoError(t, err)
					l.find("m")
				}
				i++
				return true
			}))
			require.Positive(t, i)
		}
	})
}
