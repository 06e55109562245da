package wasmhost

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

func TestCall(t *testing.T) {
	h := newHost(t, Options{})
	p := load(t, h, Spec{Module: guest{list: target("eu")}.bytes()})
	got, err := p.Request(&abi.Request{}, []byte("kept"))
	require.NoError(t, err)
	assert.Equal(t, append([]byte("kept"), target("eu")...), got)
}
