package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// programTime is for one program in JavaScript with all targets.
const programTime = 3 * time.Minute

// unhurried makes a stream slow enough that its beginning is with the client before its end is with the node.
const unhurried = "ttft=1ms;tps=150;tokens=40;fail_after=9;"

var dialects = []string{"openai", "anthropic", "gemini"}

// versions are the paths below a provider's address at which the dialects are.
var versions = map[string]string{"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}

// star is a node between clients and one provider who all speak every dialect.
type star struct {
	*node
	sim *provider
}

// startStar runs a star with these models for each dialect D of the provider:
//
//	to-D        that model; to-D-fails breaks its streams off, to-D-slow takes half a second, to-D-strict refuses what D
//	            cannot express
//	cached-D    keeps its answers; cached-D-slow takes half a second as well
//	bounded-D   has a version that forces answers of five tokens, at a temperature of its own
//
//	mixed-D     has a target of each dialect, of which only D's is up
//
// and shared, which keeps the answers of whichever of three targets gave them. The key of ann may go past them all.
func startStar(t *testing.T, args ...string) *star {
	p := startProvider(t, "--api-key", providerSecret)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(providerSecret), 0o600))
	c := (&catalog{}).key("ann", "may: [direct]").key("bob", "")
	var all []string
	for _, d := range dialects {
		c.providers = append(c.providers, fmt.Sprintf(`{name: %s, dialect: %s, base_url: "http://%s%s", api_key: "file:%s"}`,
			d, d, p.addr, versions[d], secret))
		c.model("to-"+d, "", target(d, "x", "")).
			model("to-"+d+"-fails", "", target(d, "x;"+unhurried+"fail=error-mid", "")).
			model("to-"+d+"-slow", "", target(d, "x;tps=40;tokens=20", "")).
			model("to-"+d+"-strict", "strict: true", target(d, "x", "")).
			model("cached-"+d, "cache: {mode: exact, ttl: 1h, scope: key}", target(d, "x", "")).
			model("cached-"+d+"-slow", "cache: {mode: exact, ttl: 1h, scope: key}", target(d, "x;tps=40;tokens=20", ""))
		c.models = append(c.models, fmt.Sprintf(`{name: bounded-%s, versions: [{version: 1.0.0, status: production, params: {temperature: 0.25}, `+
			`force: {max_tokens: 5}, targets: [%s]}]}`, d, target(d, "x", "")))
		c.prices = append(c.prices, fmt.Sprintf(`{provider: %s, model: x, input: 1, output: 2}`, d))
		all = append(all, target(d, "x", ""))
	}
	c.model("shared", "cache: {mode: exact, ttl: 1h, scope: key}", all...)
	for i, up := range dialects {
		var targets []string
		for k, d := range dialects {
			model := "x"
			if k != i {
				model = "x;fail=503"
			}
			targets = append(targets, target(d, model, ""))
		}
		c.model("mixed-"+up, "", targets...)
	}
	return &star{startNode(t, c.String(), args...), p}
}

// told is what the provider answers to a question that is asked without a node in between. It answers the same in every
// dialect, so that this is what a client must hear whatever became of its words on the way.
func (s *star) told(t testing.TB, q *question) string {
	t.Helper()
	said, err := (&chatSDK{base: "http://" + s.sim.addr, key: providerSecret, client: plainClient(t)}).whole(t.Context(), "x", q)
	require.NoError(t, err)
	return said.text
}

func plainClient(t testing.TB) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestEveryDialectReachesEveryDialect asks through the official SDKs, unmodified, for what applications ask for, of
// targets of every dialect.
func TestEveryDialectReachesEveryDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	t.Run("sdk", func(t *testing.T) { // ends before the star does
		for name, open := range goSDKs {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				checkSDK(t, s, open)
			})
		}
		programs, err := filepath.Glob(filepath.Join("js", "dialects", "*.test.mjs"))
		require.NoError(t, err)
		require.NotEmpty(t, programs)
		for _, program := range programs {
			t.Run("js/"+strings.TrimSuffix(filepath.Base(program), ".test.mjs"), func(t *testing.T) {
				t.Parallel()
				s.run(t, program)
			})
		}
	})
}

// run runs a program in JavaScript under Node. Its report names the SDK, the model and the case of what fails.
func (s *star) run(t *testing.T, program string) {
	node, err := exec.LookPath("node")
	if err != nil {
		skip(t, "node is not installed: make setup installs it where it may")
	}
	if _, err := os.Stat(filepath.Join("js", "node_modules", "ai")); err != nil {
		skip(t, "internal/e2e/js has no node_modules: make setup installs them")
	}
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", program)
	var models []string
	for _, d := range dialects {
		models = append(models, "to-"+d)
	}
	cmd.Env = append(os.Environ(), "WEDGE_NODE=http://"+s.data, "WEDGE_KEY="+keyOf("ann"), "WEDGE_SIM=http://"+s.sim.addr, "WEDGE_SIM_KEY="+providerSecret,
		"WEDGE_MODELS="+strings.Join(models, ","), "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// skip skips the test, except where nothing may be skipped unseen.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
