package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckState(t *testing.T) {
	require.NoError(t, CheckState(nil))
	require.NoError(t, CheckState(bundleResources(t)))
	with := func(r Resource) error {
		resources := append(split(t, minimal), r)
		SortResources(resources)
		return CheckState(resources)
	}
	require.NoError(t, with(Resource{KindSecret, "s", []byte(`{"commit":"sha256:` + strings.Repeat("0", 64) + `"}`)}))
	require.NoError(t, with(Resource{KindTrust, "origin", []byte(`{"keys":[]}`)}))
	for body, want := range map[string]string{
		`{"commit":"sha256:x"}`:         `the secret "s": its commitment is not`,
		`{}`:                            `the secret "s": its commitment is not`,
		`{"commit":"x","value":"hush"}`: `the secret "s": json: unknown field "value"`,
		`[]`:                            `the secret "s": json: cannot unmarshal`,
		``:                              `the secret "s": EOF`,
	} {
		assert.ErrorContains(t, with(Resource{KindSecret, "s", []byte(body)}), want, body)
	}
	for body, want := range map[string]string{
		`{"keys":["x"]}`:        `the trust "origin": "x" is not a public key`,
		`{"keys":[],"until":1}`: `the trust "origin": json: unknown field "until"`,
	} {
		assert.ErrorContains(t, with(Resource{KindTrust, "origin", []byte(body)}), want, body)
	}
	assert.ErrorContains(t, with(Resource{"unheard-of", "x", []byte("{}")}), "does not know the kind")
	assert.ErrorContains(t, with(release(`{"candidate":"9.0.0","model":"m","percent":0,"seed":""}`)), "has no version")
	assert.ErrorContains(t, with(Resource{KindBudget, "b", []byte(`{"name":"b"}`)}), "bundle:1:")
}

// A release that would leave a node without a catalog is refused everywhere, not only where it is the node's turn.
func TestCheckStateLooksAtReleasesToo(t *testing.T) {
	text := strings.Replace(minimal, "status: staging", "status: staging, fallback: [m]", 1)
	resources := append(split(t, text), release(`{"candidate":"1.1.0","model":"m","percent":0,"seed":""}`))
	SortResources(resources)
	assert.ErrorContains(t, CheckState(resources), "circle")
}
