package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPricesAreExact(t *testing.T) {
	c := parse(t, minimal+`
prices:
  - {provider: p, model: a, input: 0.000001, cached_input: 0, cache_write: 1.10, cache_write_hour: 2e0, audio_input: 40, image_input: 999999.999999,
     output: 10, reasoning: 1.5, audio_output: 1000000, image_output: "0.25",
     request_usd: 0.000000001, image_usd: 0.04, second_usd: 922337203.6, letters: 15.5, batch: 1, from: 2026-02-28T23:00:00.5+01:00,
     tiers: [{above: 1, output: 20}, {above: 200000, input: 3, cached_input: 0.5, audio_output: 7}]}
  - {provider: p, model: a, output: 4, request_usd: 1, from: 2026-03-01}
`)
	assert.Equal(t, Price{
		Provider: "p", Model: "a", From: time.Date(2026, 2, 28, 22, 0, 0, 5e8, time.UTC),
		Tariff: Tariff{1, 0, 1_100_000, 2_000_000, 40_000_000, 999_999_999_999, 10_000_000, 1_500_000, 1_000_000_000_000, 250_000},
		Tiers: []PriceTier{
			{1, Tariff{1, 0, 1_100_000, 2_000_000, 40_000_000, 999_999_999_999, 20_000_000, 1_500_000, 1_000_000_000_000, 250_000}},
			{200_000, Tariff{3_000_000, 500_000, 1_100_000, 2_000_000, 40_000_000, 999_999_999_999, 10_000_000, 1_500_000, 7_000_000, 250_000}},
		},
		Request: 1, Image: 40_000_000, Second: 922_337_203_600_000_000, Letter: 15_500_000, Batch: 1,
	}, c.Prices[0])
	assert.Equal(t, Price{
		Provider: "p", Model: "a", From: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		Tariff:  Tariff{-1, -1, -1, -1, -1, -1, 4_000_000, 4_000_000, 4_000_000, 4_000_000},
		Request: 1e9, Batch: 100,
	}, c.Prices[1])
}

// What a tier is silent about is as below it, before it follows from other prices of the tier.
func TestTiersFollowTheTariffBelow(t *testing.T) {
	c := parse(t, minimal+"prices: [{provider: p, model: a, input: 1, cache_write: 2, tiers: [{above: 10, input: 3, output: 4}]}]")
	assert.Equal(t, Tariff{1e6, 1e6, 2e6, 2e6, 1e6, 1e6, -1, -1, -1, -1}, c.Prices[0].Tariff)
	assert.Equal(t, Tariff{3e6, 3e6, 2e6, 2e6, 3e6, 3e6, 4e6, 4e6, 4e6, 4e6}, c.Prices[0].Tiers[0].Tariff)
}

// refusal is what is wrong with a line that is added to the minimal catalog, below the line's own number.
func refusal(t *testing.T, section, entry string) string {
	t.Helper()
	var text []string
	for _, p := range problems(t, minimal+section+":\n  - "+entry+"\n") {
		assert.Equal(t, strings.Count(minimal, "\n")+2, p.Line, p.Message)
		text = append(text, fmt.Sprintf("%d %s: %s", p.Column, p.Path, p.Message))
	}
	return strings.Join(text, "\n")
}

func TestRefusedPrices(t *testing.T) {
	for fields, want := range map[string]string{
		"input: -1":                                 `36 prices[0].input: "-1" is negative`,
		"input: 1, audio_input: -2":                 `52 prices[0].audio_input: "-2" is negative`,
		"input: 0.0000001":                          `36 prices[0].input: "0.0000001" has more decimals than can be kept; want at most 6 decimals and a number below 10^12`,
		"input: 1000000.000001":                     `36 prices[0].input: "1000000.000001" is too large`,
		"input: free":                               `36 prices[0].input: want a decimal number such as 0.25, found "free"`,
		"request_usd: 0.0000000001":                 `42 prices[0].request_usd: "0.0000000001" has more decimals than can be kept; want at most 9 decimals and a number below 10^9`,
		"input: 1, inputs: 2":                       `39 prices[0].inputs: unknown field "inputs"; did you mean "input"?`,
		"input: 1, video_input: 2":                  `39 prices[0].video_input: unknown field "video_input"; did you mean "audio_input"?`,
		"output: 1":                                 `5 prices[0]: nothing tells what the model costs; give input (and output, if it has any), or request_usd, image_usd, second_usd or letters`,
		"image_usd: 0":                              `5 prices[0]: nothing tells what the model costs; give input (and output, if it has any), or request_usd, image_usd, second_usd or letters`,
		"input: 1, batch: 0":                        `46 prices[0].batch: 0 is out of range; want 1 to 100`,
		"input: 1, batch: 101":                      `46 prices[0].batch: 101 is out of range; want 1 to 100`,
		"input: 1, from: soon":                      `45 prices[0].from: "soon" is not a date such as 2026-11-01 or 2026-11-01T12:00:00Z`,
		"input: 1, from: 2026-02-30":                `45 prices[0].from: "2026-02-30" is not a date such as 2026-11-01 or 2026-11-01T12:00:00Z`,
		"input: 1, from: 2026":                      `45 prices[0].from: want a string, found a number; put it in quotes`,
		"input: 1, tiers: [{above: 2}, {above: 2}]": `67 prices[0].tiers[1].above: the tiers must rise; 2 is not above 2`,
		"input: 1, tiers: [{above: 0}]":             `55 prices[0].tiers[0].above: 0 is out of range; want 1 to 1000000000`,
		"input: 1, tiers: [{input: 1}]":             `47 prices[0].tiers[0].above: above is required`,
		"input: 1, tiers: [{above: 1, video: 1}]":   `58 prices[0].tiers[0].video: unknown field "video"`,
		"input: 1, tiers: [{above: 1, letters: 1}]": `58 prices[0].tiers[0].letters: unknown field "letters"`,
		"input: 1, tiers: [{above: 1, output: -1}]": `66 prices[0].tiers[0].output: "-1" is negative`,
		"input: 1, tiers: {above: 1}":               `46 prices[0].tiers: want a list, found a mapping`,
	} {
		assert.Equal(t, want, refusal(t, "prices", "{provider: p, model: a, "+fields+"}"))
	}
	twice := "{provider: p, model: a, input: 1, from: 2026-01-01}\n  - {provider: p, model: a, input: 2, from: \"2026-01-01T01:00:00+01:00\"}"
	list := problems(t, minimal+"prices:\n  - "+twice)
	assert.Equal(t, `10:26: prices[1].model: "p/a@2026-01-01T00:00:00Z" is defined twice in prices, first on line 9; each needs its own`, list[0].String())
	list = problems(t, minimal+"prices:\n  - {provider: p, model: a, input: 1}\n  - {provider: p, model: a, input: 2}")
	assert.Equal(t, `10:26: prices[1].model: "p/a" is defined twice in prices, first on line 9; each needs its own`, list[0].String())
	list = problems(t, minimal+"prices:\n  - {provider: q, model: a, input: 1}")
	assert.Equal(t, `9:16: prices[0].provider: there is no provider "q"`, list[0].String())
}

// Whatever the decimals, what is read is what was written.
func TestEveryDecimalOfAPriceIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pico := rapid.Int64Range(0, maxPrice).Draw(t, "pico")
		nano := rapid.Int64Range(0, maxUSD).Draw(t, "nano")
		o := jsonObject{"provider": "p", "model": "a", "input": json.Number(fmt.Sprintf("%d.%06d", pico/1e6, pico%1e6)),
			"request_usd": json.Number(fmt.Sprintf("%d.%09d", nano/1e9, nano%1e9))}
		text, err := json.Marshal([]jsonObject{o})
		require.NoError(t, err)
		c, err := ParseCatalog("test", []byte(minimal+"prices: "+string(text)))
		require.NoError(t, err)
		require.Equal(t, pico, c.Prices[0].Input)
		require.Equal(t, nano, c.Prices[0].Request)
	})
}

const moneyKeys = `
keys: [{name: k, id: wk_abc123def456, hash: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", models: [m], team: blue}]
`

// linked is what is wrong with an entry in a catalog with a key of the team blue.
func linked(t *testing.T, section, entry string) string {
	t.Helper()
	_, err := ParseCatalog("test", []byte(minimal+moneyKeys+section+": ["+entry+"]\n"))
	if err == nil {
		return ""
	}
	var text []string
	for line := range strings.Lines(err.Error()) {
		at, message, _ := strings.Cut(strings.TrimSpace(line), ": ")
		assert.True(t, strings.HasPrefix(at, "test:10:"), line)
		text = append(text, message)
	}
	return strings.Join(text, "\n")
}

func TestBudgetsThatContradictThemselves(t *testing.T) {
	for fields, want := range map[string]string{
		"":                                                     "",
		"scope: key, match: k":                                 "",
		"scope: team, match: blue":                             "",
		"scope: model, match: m":                               "",
		"scope: provider, match: p":                            "",
		"scope: total":                                         "",
		"scope: key, match: blue":                              `budgets[0].match: there is no key "blue"`,
		"scope: team, match: red":                              `budgets[0].match: there is no team "red"`,
		"scope: team, match: k":                                `budgets[0].match: there is no team "k"`,
		"scope: model, match: p":                               `budgets[0].match: there is no model "p"`,
		"scope: provider, match: m":                            `budgets[0].match: there is no provider "m"`,
		"scope: total, match: k":                               "budgets[0].match: the scope total matches everything; remove match",
		"scope: provider, match: \"\"":                         "budgets[0].match: want 1 to 1024 bytes without control characters",
		"on_exhausted: {downgrade: m}":                         "",
		"on_exhausted: {downgrade: m@1.0.0}":                   "",
		"on_exhausted: \"downgrade: m@1.0.x\"":                 "",
		"on_exhausted: \"downgrade:\"":                         `budgets[0].on_exhausted: "downgrade:" is not one of deny, downgrade: MODEL, cache_only`,
		"on_exhausted: {downgrade: ghost}":                     `budgets[0].on_exhausted: there is no model "ghost"`,
		"on_exhausted: {downgrade: m@2.x}":                     `budgets[0].on_exhausted: the model "m" has no version "2.x" in use; it has 1.0.0, 1.1.0`,
		"on_exhausted: {deny: m}":                              "budgets[0].on_exhausted.downgrade: downgrade is required\nbudgets[0].on_exhausted.deny: unknown field \"deny\"",
		"on_exhausted: {downgrade: m}, scope: model, match: m": `budgets[0].on_exhausted: "m" is the model that the budget limits; downgrade to another, or use deny`,
		"on_exhausted: {downgrade: m@staging}, scope: model, match: m": `budgets[0].on_exhausted: "m" is the model that the budget limits; downgrade to another, or use deny`,

		"offline: safe, grace_usd: 5":    "",
		"offline: safe":                  "budgets[0].offline: offline: safe needs grace_usd: what a node may spend beyond its lease while it cannot reach its origin",
		"grace_usd: 5":                   "budgets[0].grace_usd: only a budget with offline: safe has a grace",
		"offline_for: 366d":              "",
		"offline_for: 367d":              `budgets[0].offline_for: "367d" is too long; want at most 366d`,
		"unpriced: flat, flat: 0.000001": "",
		"unpriced: flat":                 "budgets[0].unpriced: unpriced: flat needs flat: the USD per million tokens that requests without a price are held to cost",
		"flat: 3":                        "budgets[0].flat: only a budget with unpriced: flat has one",
		"unpriced: allow":                "budgets[0].unpriced: a hard budget cannot allow what nobody knows the price of; use deny or flat, or kind: soft",
		"unpriced: allow, kind: soft":    "",
		"unpriced: deny, kind: soft":     "",
		"alerts: [101, 0, 1001]":         "budgets[0].alerts[1]: 0 is out of range; want 1 to 1000\nbudgets[0].alerts[2]: 1001 is out of range; want 1 to 1000",
	} {
		assert.Equal(t, want, linked(t, "budgets", "{name: b, limit_usd: 1, period: daily, "+fields+"}"), fields)
	}
	for period, want := range map[string]string{
		"rolling-1h": "", "rolling-720h": "", "total": "", "quarterly": "",
		"rolling-0h": "no", "rolling-721h": "no", "rolling-999h": "no", "rolling-1000h": "no", "rolling-01h": "no", "rolling-1.5h": "no", "rolling-1d": "no", "hourly": "no", "7": "no",
	} {
		got := linked(t, "budgets", "{name: b, limit_usd: 9e8, period: "+period+"}")
		assert.Equal(t, want == "", got == "", "%s: %s", period, got)
	}
	assert.Equal(t, `budgets[0].limit_usd: "922337203.7" is too large`, linked(t, "budgets", "{name: b, limit_usd: 922337203.7, period: daily}"))
	list := problems(t, minimal+"budgets: [{name: b, limit_usd: 1, period: daily}]\n"+strings.Replace(moneyKeys, "team:", "budgets: [b, c], team:", 1))
	assert.Contains(t, list[0].String(), `keys[0].budgets[1]: there is no budget "c"`)
}

func TestAlertsOfBudgets(t *testing.T) {
	for fields, want := range map[string][]int{
		"":                          {50, 75, 90, 100},
		", alerts: []":              {},
		", alerts: ~":               {},
		", alerts: [90, 50, 90, 1]": {1, 50, 90},
	} {
		c := parse(t, minimal+"budgets: [{name: b, limit_usd: 1, period: daily"+fields+"}]")
		assert.Equal(t, want, c.Budgets[0].Alerts, fields)
	}
}

func TestRatesThatContradictThemselves(t *testing.T) {
	for fields, want := range map[string]string{
		"requests: 1/s":                                "",
		"tokens: 1M/h, scope: team, match: blue":       "",
		"concurrency: 1, scope: key, match: k":         "",
		"requests: 1/s, scope: model, match: m":        "",
		"":                                             "rates[0]: the rule limits nothing; give requests, tokens or concurrency",
		"requests: 0/s":                                "rates[0].requests: want a rate above zero such as 100/s, 10k/m or 1M/h, found \"0/s\"",
		"requests: 1/s, scope: team":                   "rates[0].scope: the rule matches no team; name one in match, or use the scope total",
		"requests: 1/s, scope: team, match: red":       `rates[0].match: there is no team "red"`,
		"requests: 1/s, match: k":                      "rates[0].match: the scope total matches everything; remove match",
		"requests: 1/s, scope: provider, match: p":     `rates[0].scope: "provider" is not one of key, team, model, total`,
		"concurrency: 0":                               "rates[0].concurrency: 0 is out of range; want 1 to 1000000",
		"requests: 1/s}, {name: r, concurrency: 5":     `rates[1].name: "r" is defined twice in rates, first on line 10; each needs its own`,
		"requests: 1/s}, {name: key/k, concurrency: 5": "rates[1].name: names with key/ are those of keys' own limits; use another",
	} {
		got := strings.Split(linked(t, "rates", "{name: r, "+fields+"}"), "\n")
		assert.ElementsMatch(t, strings.Split(want, "\n"), got, fields)
	}
}

func TestWebhooksThatAreRefused(t *testing.T) {
	const local, http = "", "webhooks[0].url: http is not encrypted; use https, or a loopback address"
	for fields, want := range map[string]string{
		"url: \"https://hooks.example.com/a?b=c\"":            "",
		"url: \"http://127.0.0.1:8080/x\"":                    local,
		"url: \"http://127.8.8.8/x\"":                         local,
		"url: \"http://[::1]:1/\"":                            local,
		"url: \"http://localhost/\"":                          local,
		"url: \"http://hooks.example.com/hunter2\"":           http,
		"url: \"http://10.0.0.1/hunter2\"":                    http,
		"url: \"http://169.254.169.254/\"":                    http,
		"url: \"http://localhost.evil.example/\"":             http,
		"url: \"http://0.0.0.0/\"":                            http,
		"url: \"https://u:hunter2@hooks.example.com/\"":       "webhooks[0].url: the URL must not hold credentials; sign deliveries with a secret",
		"url: \"https://hooks.example.com/#hunter2\"":         "webhooks[0].url: the URL must not have a #",
		"url: \"ftp://hooks.example.com/\"":                   "webhooks[0].url: want a URL such as https://hooks.example.com/wedge",
		"url: \"https://\"":                                   "webhooks[0].url: want a URL such as https://hooks.example.com/wedge",
		"url: \"https://:443/\"":                              "webhooks[0].url: want a URL such as https://hooks.example.com/wedge",
		"url: \"https://a:99999/\"":                           "webhooks[0].url: want a URL such as https://hooks.example.com/wedge",
		"url: hooks.example.com":                              "webhooks[0].url: want a URL such as https://hooks.example.com/wedge",
		"url: 7":                                              "webhooks[0].url: want a string, found a number; put it in quotes",
		"url: \"https://a/\", secret: \"origin:hook\"":        "",
		"url: \"https://a/\", secret: whsec_hunter2":          "webhooks[0].secret: want a reference to a secret: ${ENV}, file:/path or origin:name, never the secret itself",
		"url: \"https://a/\", secret: \"${HOOK}\"":            "webhooks[0].secret: an origin signs deliveries with secrets of its own only: put it with wedge secret put NAME, and name it as origin:NAME",
		"url: \"https://a/\", secret: \"file:/etc/hook\"":     "webhooks[0].secret: an origin signs deliveries with secrets of its own only: put it with wedge secret put NAME, and name it as origin:NAME",
		"url: \"https://a/\", events: [threshold, boom]":      `webhooks[0].events[1]: "boom" is not one of threshold, exhausted, lease_denied, burn_rate, node_offline, unverified, first_spend, report_flawed`,
		"url: \"https://a/\", events: [exhausted, exhausted]": `webhooks[0].events[1]: "exhausted" is listed twice`,
		"secret: \"origin:hook\"":                             "webhooks[0].url: url is required",
	} {
		got := linked(t, "webhooks", "{name: w, "+fields+"}")
		assert.Equal(t, want, got, fields)
		assert.NotContains(t, got, "hunter2", "a secret was echoed")
	}
	assert.Equal(t, `webhooks[0].name: "deliveries" stands for something else among the webhooks of the origin's API; use another name`,
		linked(t, "webhooks", "{name: deliveries, url: \"https://a/\"}"))
	assert.Equal(t, `budgets[0].name: "status" stands for something else among the budgets of the origin's API; use another name`,
		linked(t, "budgets", "{name: status, limit_usd: 1, period: daily}"))
	all := strings.Join(AlertKinds, ", ")
	assert.Empty(t, linked(t, "webhooks", "{name: w, url: \"https://a/\", events: ["+all+"]}"))
}

// Nodes get rates but no webhooks: a state with one is refused, and one without says the same to them.
func TestNodesGetNoWebhooks(t *testing.T) {
	text := minimal + moneyKeys + "rates: [{name: r, requests: 1/s}]\nwebhooks: [{name: w, url: \"https://a/\"}]\n"
	all := split(t, text)
	assert.ErrorContains(t, CheckState(all), `the webhook "w": this build does not know the kind`)
	var shared []Resource
	for _, r := range all {
		if Shared(r.Kind) {
			shared = append(shared, r)
		}
	}
	require.Len(t, shared, len(all)-1)
	require.NoError(t, CheckState(shared))
	whole, err := JoinCatalog(shared)
	require.NoError(t, err)
	c, err := ParseCatalog("joined", whole)
	require.NoError(t, err)
	assert.Empty(t, c.Webhooks)
	assert.Equal(t, []RateRule{{Name: "r", Scope: "total", Rate: Rate{Requests: 1, RequestsPer: time.Second}}}, c.Rates)
}

func TestDatedPricesComeApartAndTogether(t *testing.T) {
	text := minimal + "prices: [{provider: p, model: a, input: 1}, {provider: p, model: a, input: 2, from: 2027-01-01}, {provider: p, model: a, input: 3, from: \"2028-01-01T00:00:00+01:00\"}]"
	c, resources := rejoin(t, []byte(text))
	assert.Equal(t, parse(t, text).Prices, c.Prices)
	var names []string
	for _, r := range resources {
		if r.Kind == KindPrice {
			names = append(names, r.Name)
		}
	}
	assert.Equal(t, []string{"p/a", "p/a@2027-01-01", "p/a@2028-01-01T00:00:00+01:00"}, names)
	_, err := JoinCatalog([]Resource{{KindPrice, "p/a", []byte(`{"from":"2027-01-01","input":1,"model":"a","provider":"p"}`)}})
	assert.EqualError(t, err, `cannot join the price "p/a": its body is that of "p/a@2027-01-01"`)
}

// Every field of a price, a budget, a rate or a webhook counts in the catalog's digest.
func TestDigestsTellMoneyApart(t *testing.T) {
	digests := map[string]string{}
	for _, text := range []string{
		"prices: [{provider: p, model: a, input: 1}]",
		"prices: [{provider: p, model: a, input: 1, from: 2027-01-01}]",
		"prices: [{provider: p, model: a, input: 1, from: 2027-01-02}]",
		"prices: [{provider: p, model: a, input: 1, from: 2027-01-02T00:00:00.000000001Z}]",
		"prices: [{provider: p, model: a, input: 1, cached_input: 2}]",
		"prices: [{provider: p, model: a, input: 1, image_output: 2}]",
		"prices: [{provider: p, model: a, input: 1, tiers: [{above: 2}]}]",
		"prices: [{provider: p, model: a, input: 1, tiers: [{above: 3}]}]",
		"prices: [{provider: p, model: a, input: 1, tiers: [{above: 3, output: 0}]}]",
		"prices: [{provider: p, model: a, input: 1, batch: 50}]",
		"prices: [{provider: p, model: a, input: 1, letters: 1}]",
		"prices: [{provider: p, model: a, input: 1, second_usd: 1}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-5h}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-6h}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-6h, alerts: []}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-6h, offline: safe, grace_usd: 1}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-6h, offline: safe, grace_usd: 2}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-6h, offline_for: 1h}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-6h, unpriced: flat, flat: 1}]",
		"budgets: [{name: b, limit_usd: 1, period: rolling-6h, unpriced: flat, flat: 2}]",
		"rates: [{name: r, requests: 1/s}]",
		"rates: [{name: r, requests: 60/m}]",
		"rates: [{name: r, tokens: 1/s}]",
		"webhooks: [{name: w, url: \"https://a/\"}]",
		"webhooks: [{name: w, url: \"https://a/\", secret: \"origin:s\"}]",
		"webhooks: [{name: w, url: \"https://a/\", events: [exhausted]}]",
	} {
		d := parse(t, minimal+text).Digest()
		assert.Empty(t, digests[d], "as %s", text)
		digests[d] = text
	}
}

func TestSupportOfMoney(t *testing.T) {
	s := Support{Dialects: all(dialects), Strategies: all(strategies), Balances: all(balances)}
	c := parse(t, minimal+strings.Replace(moneyKeys, "team: blue", "rate: {requests: 1/s}, budgets: [b]", 1)+
		"budgets: [{name: b, limit_usd: 1, period: daily}]\nrates: [{name: r, requests: 1/s}]\nwebhooks: [{name: w, url: \"https://a/\"}]\n")
	want := map[string]string{
		"budgets":         "this build of wedge does not enforce budgets yet; remove the section",
		"rates":           "this build of wedge does not limit rates yet; remove the section",
		"webhooks":        "a node does not deliver to webhooks, only an origin does; put the section there, and remove it here",
		"keys[0].rate":    "this build of wedge does not limit rates yet; remove the field",
		"keys[0].budgets": "this build of wedge does not enforce budgets yet; remove the field",
	}
	lacks := func() map[string]string {
		found := map[string]string{}
		var list *Problems
		if err := c.CheckSupported(s); err != nil {
			require.ErrorAs(t, err, &list)
			for _, p := range list.List {
				assert.GreaterOrEqual(t, p.Line, 9)
				found[p.Path] = p.Message
			}
		}
		return found
	}
	assert.Equal(t, want, lacks())
	s.Budgets = true
	delete(want, "budgets")
	delete(want, "keys[0].budgets")
	assert.Equal(t, want, lacks())
	s.Rates = true
	delete(want, "rates")
	delete(want, "keys[0].rate")
	assert.Equal(t, want, lacks())
	s.Webhooks = true
	assert.Empty(t, lacks())
}

func TestListsOfPricesHaveAPlace(t *testing.T) {
	c := parse(t, strings.Replace(minimal, "v1\"}", "v1\", prices: opanai}", 1))
	assert.Equal(t, "opanai", c.Providers[0].Prices)
	assert.Equal(t, Problem{2, 78, "providers[0].prices", "x"}, c.ProblemAt("providers[0].prices", "x"))
}
