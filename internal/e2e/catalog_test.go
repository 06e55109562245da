package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// catalog is a catalog while a test writes it: the entries of its sections as YAML.
type catalog struct {
	providers, models, experiments, policies, prices, keys, budgets, rates []string
}

// at adds a provider at an address.
func (c *catalog) at(name, addr, more string) *catalog {
	c.providers = append(c.providers, fmt.Sprintf(`{name: %s, dialect: openai, base_url: "http://%s/v1"%s}`, name, addr, more))
	return c
}

// model adds a model with one version, 1.0.0. more are fields of the model, such as "cache: {mode: exact}".
func (c *catalog) model(name, more string, targets ...string) *catalog {
	if more != "" {
		more = ", " + more
	}
	c.models = append(c.models, fmt.Sprintf(`{name: %s%s, versions: [{version: 1.0.0, status: production, targets: [%s]}]}`,
		name, more, strings.Join(targets, ", ")))
	return c
}

// policy adds a policy whose module is a file. more are further fields, such as "on_error: deny".
func (c *catalog) policy(name, file, hooks, more string) *catalog {
	if more != "" {
		more = ", " + more
	}
	c.policies = append(c.policies, fmt.Sprintf(`{name: %s, module: "file:%s", hooks: [%s]%s}`, name, file, hooks, more))
	return c
}

// price adds what a model costs, in USD per million tokens. more are further fields.
func (c *catalog) price(provider, model string, input, output float64, more string) *catalog {
	if more != "" {
		more = ", " + more
	}
	c.prices = append(c.prices, fmt.Sprintf(`{provider: %s, model: "%s", input: %g, output: %g%s}`, provider, model, input, output, more))
	return c
}

// budget adds a budget of so many USD. more are its further fields, such as "period: total, scope: total".
func (c *catalog) budget(name, usd, more string) *catalog {
	c.budgets = append(c.budgets, fmt.Sprintf(`{name: %s, limit_usd: %s, %s}`, name, usd, more))
	return c
}

// key adds a virtual key that may use every model. more are further fields, such as "may: [arm]".
func (c *catalog) key(name, more string) *catalog {
	if !strings.Contains(more, "models:") {
		more = strings.TrimSuffix(`models: ["*"], `+more, ", ")
	}
	key := keyOf(name)
	c.keys = append(c.keys, fmt.Sprintf(`{name: %s, id: %s, hash: "sha256:%x", %s}`, name, key[:15], sha256.Sum256([]byte(key)), more))
	return c
}

// target is a target of a version. more are further fields, such as "weight: 2".
func target(provider, model, more string) string {
	if more != "" {
		more = ", " + more
	}
	return fmt.Sprintf(`{provider: %s, model: "%s"%s}`, provider, model, more)
}

func (c *catalog) String() string {
	var b strings.Builder
	section := func(name string, entries []string) {
		if len(entries) > 0 {
			fmt.Fprintf(&b, "%s:\n  - %s\n", name, strings.Join(entries, "\n  - "))
		}
	}
	section("providers", c.providers)
	section("models", c.models)
	section("experiments", c.experiments)
	section("policies", c.policies)
	section("prices", c.prices)
	section("keys", c.keys)
	section("budgets", c.budgets)
	section("rates", c.rates)
	return b.String()
}

// keyOf is the virtual key of a name.
func keyOf(name string) string {
	sum := sha256.Sum256([]byte("key of " + name))
	digits := hex.EncodeToString(sum[:])
	return "wk_" + digits[:12] + "_" + digits[12:52]
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
