package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a part names may be elsewhere; what is wrong in itself is told where it stands.
func TestSplitPart(t *testing.T) {
	part := "models:\n  - name: m\n    versions: [{version: 1.0.0, targets: [{provider: elsewhere, model: x}]}]\n"
	_, err := SplitCatalog("c.yaml", []byte(part))
	require.ErrorContains(t, err, "elsewhere")
	resources, err := SplitPart("c.yaml", []byte(part))
	require.NoError(t, err)
	require.Len(t, resources, 2)
	assert.Equal(t, Resource{KindModel, "m", []byte(`{"name":"m"}`)}, resources[0])
	assert.Equal(t, "m@1.0.0", resources[1].Name)

	_, err = SplitPart("c.yaml", []byte("keys:\n  - name: k\n    colour: red\n"))
	require.ErrorContains(t, err, "c.yaml:3:5: keys[0].colour: unknown field")
	_, err = SplitPart("c.yaml", []byte("prompts: ["))
	require.ErrorContains(t, err, "c.yaml:1:")
}
