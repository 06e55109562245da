package examples

import (
	"path"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/cases"
	"github.com/wedge-proxy/wedge/wasm/internal/guests"
	"github.com/wedge-proxy/wedge/wasm/sdk"
)

// TestNew builds the project that authors start from in every language, and runs its cases.
func TestNew(t *testing.T) {
	for _, lang := range sdk.Languages() {
		t.Run(lang, func(t *testing.T) {
			files, build, err := sdk.New(lang, "my-rule")
			require.NoError(t, err)
			require.NotEmpty(t, build)
			module := guests.BuildFiles(t, lang, files)
			ran := 0
			for name, text := range files {
				if path.Dir(name) != "cases" {
					continue
				}
				c, err := cases.Parse(name, text)
				require.NoError(t, err)
				p, err := load(t, &example{name: "my-rule", hooks: policy.Route}, module, c.Config, "")
				require.NoError(t, err)
				require.NoError(t, c.Check(cases.Run(p, c)))
				ran++
			}
			assert.Equal(t, 2, ran)
		})
	}
}
