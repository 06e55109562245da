package prices

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// use makes the package work with another table until the test ends.
func use(t *testing.T, other []byte) {
	t.Helper()
	before := packed
	reset := func(to []byte) { packed, table.header, table.urls, table.lists = to, nil, nil, nil }
	reset(other)
	t.Cleanup(func() { reset(before) })
}

// useExcerpt makes it work with the excerpt that the tests read.
func useExcerpt(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile("testdata/genai.json")
	require.NoError(t, err)
	packed, _, err := Pack(data, "1.2.3", "2026-09-23")
	require.NoError(t, err)
	use(t, packed)
}

func lookup(t *testing.T, list, model string) wire.Price {
	t.Helper()
	p, ok := Lookup(list, model, now)
	require.True(t, ok, "%s of %s", model, list)
	return p
}

func TestTheEmbeddedTableIsSound(t *testing.T) {
	name, version, date := Source()
	assert.Equal(t, "genai-prices", name)
	assert.Regexp(t, `^\d+\.\d+\.\d+$`, version)
	_, err := time.Parse(time.DateOnly, date)
	assert.NoError(t, err)
	assert.Regexp(t, "^[0-9a-f]{12}$", Digest())
	notice, err := os.ReadFile("NOTICE")
	require.NoError(t, err)
	assert.Contains(t, string(notice), name+" "+version+", published on "+date)
	assert.Contains(t, string(notice), "The MIT License")

	lists := Lists()
	assert.IsIncreasing(t, lists)
	assert.Subset(t, lists, []string{"openai", "anthropic", "google", "azure", "aws", "mistral", "deepseek", "openrouter"})
	n := 0
	for _, list := range lists {
		assert.NotEmpty(t, All(list), list)
		for _, p := range All(list) {
			n++
			require.NotEmpty(t, p.Model)
			require.Equal(t, list, p.Provider)
			require.True(t, p.Input > 0 || p.Output > 0 || p.Request+p.Image+p.Second+p.Letter > 0, "%s of %s is not free", p.Model, list)
			require.NoError(t, valid(p), "%s of %s", p.Model, list)
		}
	}
	assert.Greater(t, n, 1000)
	assert.Nil(t, All("nobody"))
}

// valid parses what a price is written as, and wants the same price again.
func valid(p wire.Price) error {
	p.Provider = "p"
	c, err := wire.ParseCatalog("c.json", []byte(`{"providers":[{"name":"p","dialect":"openai","base_url":"http://127.0.0.1/v1"}],
"models":[{"name":"m","versions":[{"version":"1.0.0","status":"production","targets":[{"provider":"p","model":"a"}]}]}],
"prices":[`+string(AppendJSON(nil, &p))+`]}`))
	if err != nil {
		return err
	}
	if !assert.ObjectsAreEqual(p, c.Prices[0]) {
		return assert.AnError
	}
	return nil
}

func TestWhatIsLookedUp(t *testing.T) {
	useExcerpt(t)
	for _, row := range []struct{ list, model, entry string }{
		{"openai", "gpt-5", "openai/gpt-5"},
		{"openai", " GPT-5-2025-08-07 ", "openai/gpt-5"},
		{"openai", "gpt-5.6-sol-2026-08-21", "openai/gpt-5.6-sol"},
		{"openai", "gpt-5.6-sol-20260821", "openai/gpt-5.6-sol"}, // as others write a date
		{"anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"},
		{"azure", "gpt-4o-mini", "openai/gpt-4o-mini"},                 // of those that stand in for it
		{"google", "claude-sonnet-4-6", "anthropic/claude-sonnet-4-6"}, // as well
		{"google", "gemini-2.5-pro-preview", "google/gemini-2.5-pro"},
		{"groq", "whisper-large-v3", "groq/whisper-large-v3"},
	} {
		p := lookup(t, row.list, row.model)
		assert.Equal(t, row.entry, p.Provider+"/"+p.Model, row.model)
	}
	for list, models := range map[string][]string{
		"openai":     {"", "gpt-5-nano-of-mine", "claude-sonnet-4-5", "gpt-5.6-sol-20269999x", "xgpt-5"},
		"google":     {"gemini-2.5-pro-TTS", "gemini-2.5-pro-preview-tts", "gpt-5"},
		"azure":      {"phi-4-reasoning:free", "gemini-2.5-flash"},
		"perplexity": {"sonar-deep-research"},
		"mistral":    {"mistral-ocr-2503"},
		"nobody":     {"gpt-5"},
		"none":       {"gpt-5"},
		"":           {"gpt-5"},
	} {
		for _, model := range models {
			_, ok := Lookup(list, model, now)
			assert.False(t, ok, "%s of %s", model, list)
		}
	}
}

func TestWhatTheTableSays(t *testing.T) {
	useExcerpt(t)
	sonnet := lookup(t, "anthropic", "claude-sonnet-4-5")
	assert.Equal(t, wire.Tariff{Input: 3_000_000, CachedInput: 300_000, CacheWrite: 3_750_000, CacheWriteHour: 6_000_000, AudioInput: 3_000_000,
		ImageInput: 3_000_000, Output: 15_000_000, Reasoning: 15_000_000, AudioOutput: 15_000_000, ImageOutput: 15_000_000}, sonnet.Tariff)
	require.Len(t, sonnet.Tiers, 1)
	assert.Equal(t, int64(200_000), sonnet.Tiers[0].Above)
	assert.Equal(t, int64(12_000_000), sonnet.Tiers[0].CacheWriteHour)
	assert.Equal(t, int64(22_500_000), sonnet.Tiers[0].Reasoning)
	assert.Equal(t, 100, sonnet.Batch)

	assert.Equal(t, int64(-1), lookup(t, "openai", "text-embedding-3-small").Output, "embeddings have none")
	assert.Equal(t, int64(100_000), lookup(t, "openai", "whisper-1").Second)
	assert.Equal(t, int64(30_834), lookup(t, "groq", "whisper-large-v3").Second, "rounded up")
	assert.Equal(t, int64(12_000_000), lookup(t, "perplexity", "sonar").Request)
	assert.Equal(t, int64(1_000_000), lookup(t, "google", "gemini-2.5-flash").AudioInput)
}

func TestPricesHaveDates(t *testing.T) {
	useExcerpt(t)
	change := time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC)
	before, _ := Lookup("openai", "gpt-5.6", change.Add(-1))
	after, _ := Lookup("openai", "gpt-5.6", change)
	assert.Equal(t, int64(5_000_000), before.Input)
	assert.True(t, before.From.IsZero())
	assert.Equal(t, int64(4_000_000), after.Input)
	assert.Equal(t, change, after.From)
	assert.Equal(t, int64(271_999), after.Tiers[0].Above)

	dated := Dated("deepseek", "deepseek-v4-pro")
	require.Len(t, dated, 1, "prices of some hours are the dearest hour's, and then the date changes nothing")
	assert.Equal(t, int64(3_960_000), dated[0].Output)
}

func TestListOfHost(t *testing.T) {
	for base, want := range map[string]string{
		"https://api.openai.com/v1":                                    "openai",
		"https://API.openai.com":                                       "openai",
		"https://api.openai.com:443/v1":                                "openai",
		"https://api.anthropic.com/v1":                                 "anthropic",
		"https://generativelanguage.googleapis.com/v1beta":             "google",
		"https://us-east5-aiplatform.googleapis.com/v1/projects/p":     "google",
		"https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1": "aws",
		"https://mine.openai.azure.com/openai":                         "azure",
		"https://api.moonshot.cn/v1":                                   "moonshotai",
		"https://openrouter.ai/api/v1":                                 "openrouter",
		"https://router.huggingface.co/groq/openai/v1":                 "huggingface_groq",
		"https://api.openai.com.example.com/v1":                        "",
		"https://api.openai.community/v1":                              "",
		"https://example.com/https://api.openai.com/v1":                "",
		"http://127.0.0.1:9090/v1":                                     "",
		"http://[::1]:9090/v1":                                         "",
		"http://localhost:9090/v1":                                     "",
		"http://vllm.example.com/v1":                                   "",
		"":                                                             "",
		"http://%zz":                                                   "",
	} {
		assert.Equal(t, want, ListOfHost(base), base)
	}
}

func TestTheTableIsReadOnce(t *testing.T) {
	useExcerpt(t)
	assert.Empty(t, ListOfHost("http://127.0.0.1:9090/v1"))
	assert.Nil(t, table.header, "an address needs no table")
	assert.Equal(t, "openai", ListOfHost("https://api.openai.com/v1"))
	assert.Empty(t, table.lists, "a host needs no list")
	first := Dated("openai", "gpt-5")
	assert.Len(t, table.lists, 1)
	assert.Same(t, &first[0], &Dated("openai", "gpt-5-codex")[0])
}

func TestManyAskAtOnce(t *testing.T) {
	useExcerpt(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, list := range Lists() {
				All(list)
				Dated(list, "gpt-4o-mini-20240718")
			}
			ListOfHost("https://api.openai.com/v1")
		})
	}
	all.Wait()
}

func TestABrokenTable(t *testing.T) {
	for what, data := range map[string]string{
		"a rule with two members": `[{"id":"l","api_pattern":"x","models":[{"id":"m","match":{"equals":"a","contains":"b"},"prices":{"input_mtok":1}}]}]`,
		"a rule of another kind":  `[{"id":"l","api_pattern":"x","models":[{"id":"m","match":{"resembles":"a"},"prices":{"input_mtok":1}}]}]`,
		"a rule within a rule":    `[{"id":"l","api_pattern":"x","models":[{"id":"m","match":{"or":[{"equals":7}]},"prices":{"input_mtok":1}}]}]`,
		"a broken expression":     `[{"id":"l","api_pattern":"x","models":[{"id":"m","match":{"regex":"(?<=a)b"},"prices":{"input_mtok":1}}]}]`,
		"a rule that is none":     `[{"id":"l","api_pattern":"x","models":[{"id":"m","match":"m","prices":{"input_mtok":1}}]}]`,
		"a broken host":           `[{"id":"l","api_pattern":"(","models":[]}]`,
		"no list of providers":    `{}`,
	} {
		_, _, err := Pack([]byte(data), "1", "2026-01-01")
		assert.Error(t, err, what)
	}
	_, _, err := Pack([]byte(`[]`), "", "2026-01-01")
	assert.Error(t, err)
	_, _, err = Pack([]byte(`[]`), "1", "yesterday")
	assert.Error(t, err)

	use(t, []byte("no table"))
	assert.PanicsWithValue(t, "BUG: the built-in table of prices: unexpected EOF", func() { Lists() })
}
