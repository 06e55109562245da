package arch

// row says what one package may import: what stands on a lower rung, the standard library, and what else is named
// here. Paths of this module are relative to it; a path names everything below it, too.
type row struct {
	rung     int
	also     []string // neighbours on the same rung
	modules  []string // of others
	never    []string // not even through a package in between
	testOnly bool     // imported by _test.go files and other such packages only
}

const (
	badger    = "github.com/dgraph-io/badger/v4"
	fasthttp  = "github.com/valyala/fasthttp"
	fastjson  = "github.com/valyala/fastjson"
	goleak    = "go.uber.org/goleak"
	kong      = "github.com/alecthomas/kong"
	otter     = "github.com/maypok86/otter/v2"
	pgx       = "github.com/jackc/pgx/v5"
	promlib   = "github.com/prometheus/client_golang"
	promtext  = "github.com/prometheus/common/expfmt"
	semver    = "github.com/Masterminds/semver/v3"
	sqlite    = "modernc.org/sqlite"
	testifyMo = "github.com/stretchr/testify"
	wazero    = "github.com/tetratelabs/wazero"
	xcrypto   = "golang.org/x/crypto"
	xhttp2    = "golang.org/x/net/http2"
	xsync     = "golang.org/x/sync"
	xsys      = "golang.org/x/sys"
	xxhash    = "github.com/cespare/xxhash/v2"
	yaml      = "go.yaml.in/yaml/v3"
	coder     = "github.com/coder/websocket"
)

// drivers are the technologies behind contracts. The request path meets them only as interfaces.
var drivers = []string{
	"store/memory", "store/badger", "store/redis", "store/memcached", "store/storetest", "policy/wasmhost",
	"proxy/dialect/openai", "proxy/dialect/anthropic", "proxy/dialect/gemini", "origin", "bench", badger, otter, wazero,
}

// ladder has a row for every package, and seats for those to come.
var ladder = map[string]row{
	"internal/arch":       {rung: 0},
	"internal/bytesx":     {rung: 0},
	"internal/invariants": {rung: 0},
	"internal/jsonscan":   {rung: 0},
	"internal/websockets": {rung: 0, modules: []string{fasthttp, coder}},
	"internal/obs":        {rung: 0, modules: []string{promlib, promtext}},
	"internal/testkit":    {rung: 0, modules: []string{goleak}, testOnly: true},
	"internal/tokens":     {rung: 0},

	"policy/wasmhost/wasmtest": {rung: 0, testOnly: true},

	"internal/jsonedit":     {rung: 1},
	"internal/prices":       {rung: 2},
	"wire":                  {rung: 1, modules: []string{semver, xxhash, yaml}},
	"store":                 {rung: 1},
	"policy":                {rung: 1, also: []string{"policy/abi"}},
	"policy/abi":            {rung: 1},
	"policy/wasmhost/meter": {rung: 1},
	"proxy/request":         {rung: 1},
	"proxy/dialect":         {rung: 1},
	"proxy/stream":          {rung: 1},
	"proxy/upstream":        {rung: 1, modules: []string{xsys}},
	"proxy/downstream":      {rung: 1, modules: []string{xsys}},

	"proxy/catalog":           {rung: 2, modules: []string{semver, xxhash}},
	"proxy/prompt":            {rung: 2},
	"proxy/route":             {rung: 2},
	"proxy/cache":             {rung: 2, modules: []string{xxhash}},
	"proxy/cache/semantic":    {rung: 2},
	"proxy/cache/prefix":      {rung: 2, modules: []string{xxhash}},
	"proxy/budget":            {rung: 2, modules: []string{xsys}},
	"proxy/price":             {rung: 2, also: []string{"internal/prices"}},
	"proxy/rate":              {rung: 2},
	"proxy/uplink":            {rung: 2, modules: []string{xsync}},
	"proxy/usage":             {rung: 2},
	"proxy/dialect/openai":    {rung: 2, modules: []string{xxhash}},
	"proxy/dialect/anthropic": {rung: 2, modules: []string{xxhash}},
	"proxy/dialect/gemini":    {rung: 2, modules: []string{xxhash}},
	"store/memory":            {rung: 2, modules: []string{otter, xxhash}},
	"store/badger":            {rung: 2, modules: []string{badger, xsys, xxhash}},
	"store/redis":             {rung: 2},
	"store/memcached":         {rung: 2},
	"store/storetest":         {rung: 2, modules: []string{testifyMo}, testOnly: true},
	"origin/store":            {rung: 2, modules: []string{pgx, sqlite}, never: []string{"proxy", "bench"}},
	"origin/store/pgtest":     {rung: 0, modules: []string{pgx}, testOnly: true},
	"policy/cases":            {rung: 2},
	"policy/wasmhost":         {rung: 2, also: []string{"policy/wasmhost/meter"}, modules: []string{wazero, xxhash, xsys}},

	"proxy":          {rung: 3, modules: []string{coder, fasthttp, xhttp2, xxhash}, never: drivers},
	"origin/vault":   {rung: 3, never: []string{"proxy", "bench", wazero}},
	"origin/invoice": {rung: 1, never: []string{"proxy", "bench", wazero}},
	"origin/ledger":  {rung: 3, never: []string{"proxy", "bench", wazero}},
	"origin/spend":   {rung: 3, modules: []string{xsync}, never: []string{"proxy", "bench", wazero}},
	"origin/fleet":   {rung: 3, also: []string{"origin/vault"}, modules: []string{xsync}, never: []string{"proxy", "bench", wazero}},
	"origin/control": {rung: 3, also: []string{"origin/vault", "origin/ledger"}, modules: []string{semver, yaml}, never: []string{"proxy", "bench", wazero}},
	"origin/api":     {rung: 4, modules: []string{yaml}, never: []string{"proxy", "bench", wazero}},
	"origin":         {rung: 4, also: []string{"origin/api"}, modules: []string{xsync}, never: []string{"proxy", "bench", wazero}},
	"bench/sim":      {rung: 3, modules: []string{coder, fasthttp, fastjson, xsys, xxhash}, never: []string{"proxy", "origin"}},

	"internal/cli": {rung: 4, modules: []string{yaml}, never: []string{"proxy", "origin", "bench", wazero}},

	"wasm/sdk":             {rung: 0},
	"wasm/sdk/go":          {rung: 0},
	"wasm/internal/guests": {rung: 2, modules: []string{wazero}, testOnly: true},
	"wasm/examples":        {rung: 5},

	"bench/internal/hist":    {rung: 0},
	"bench/internal/proc":    {rung: 0},
	"bench/internal/drive":   {rung: 1, modules: []string{xsys}},
	"bench/compare":          {rung: 5},
	"bench/floor":            {rung: 5, modules: []string{fasthttp, xxhash}},
	"bench/guard":            {rung: 5},
	"bench/load":             {rung: 5},
	"cmd/wedge":              {rung: 5, modules: []string{fasthttp, kong, xcrypto, xsync, yaml}},
	"internal/e2e":           {rung: 5},
	"internal/e2e/sdk":       {rung: 5},
	"internal/tools/o200k":   {rung: 5},
	"internal/tools/prices":  {rung: 5},
	"internal/tools/testsum": {rung: 5},
}
