package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wedge-proxy/wedge/wire"
)

// source is the text of a catalog whose provider serves at 127.0.0.1:9090.
type source func() ([]byte, error)

// file is a catalog of the folder bench.
func file(name string) source {
	return func() ([]byte, error) {
		text, err := os.ReadFile(filepath.Join("bench", name))
		if err != nil {
			return nil, fmt.Errorf("cannot read the bench catalog: %w: run this from the repository's root", err)
		}
		return text, nil
	}
}

// grownModel and grownKey name a model and a key of a grown catalog by their number: 16 and 12 hexadecimal digits, or
// the slot for as many.
func grownModel(number string) string { return "bench-" + number }

func grownKey(number string) string { return "wk_" + number + "_notasecretonlyforbenchmarks" }

// Parts of a grown catalog, one of each for every number but the head.
const (
	grownHead = `providers:
  - {name: sim-a, dialect: openai, base_url: "http://127.0.0.1:9090/v1"}
  - {name: sim-b, dialect: openai, base_url: "http://127.0.0.1:9090/v1"}
prices:
  - {provider: sim-a, model: "sim;tokens=90", input: 0.25, output: 2.00}
  - {provider: sim-b, model: "sim;tokens=90", input: 0.25, output: 2.00}
`
	grownModelLine = `  - name: %s
    unit: user
    cache: {mode: exact, ttl: 1h}
    versions:
      - version: 1.0.0
        status: production
        targets: [{provider: sim-a, model: "sim;tokens=90", weight: 90}, {provider: sim-b, model: "sim;tokens=90", weight: 10}]
      - {version: 1.1.0, status: staging, targets: [{provider: sim-b, model: "sim;tokens=90"}]}
`
	grownSplitLine = `  - name: split-%d
    model: %s
    status: running
    arms: [{name: control, version: 1.0.0, weight: 50}, {name: candidate, version: 1.1.0, weight: 50}]
`
	grownKeyLine = "  - {name: key-%d, id: wk_%012x, hash: \"sha256:%x\", models: [%s], team: bench, tenant: bench}\n"
)

// grown is a catalog of n models that are like bench-cache, with an experiment and a key each.
func grown(n int) source {
	return func() ([]byte, error) {
		var models, splits, keys bytes.Buffer
		for i := range n {
			model, key := grownModel(fmt.Sprintf("%016x", i)), grownKey(fmt.Sprintf("%012x", i))
			fmt.Fprintf(&models, grownModelLine, model)
			fmt.Fprintf(&splits, grownSplitLine, i, model)
			fmt.Fprintf(&keys, grownKeyLine, i, i, wire.HashKey([]byte(key)), model)
		}
		var b bytes.Buffer
		b.WriteString(grownHead)
		for _, part := range []struct {
			name  string
			lines *bytes.Buffer
		}{{"models", &models}, {"experiments", &splits}, {"keys", &keys}} {
			fmt.Fprintf(&b, "%s:\n%s", part.name, part.lines)
		}
		return b.Bytes(), nil
	}
}
