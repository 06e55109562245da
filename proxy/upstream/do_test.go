package upstream

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeepAlive(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpoint(t, s.url())
	var c Call
	for range 3 {
		got, err := fetch(t, e, &c)
		require.NoError(t, err)
		require.Equal(t, "hello", got)
		require.Equal(t, 200, c.Status())
		require.EqualValues(t, 5, c.ContentLength())
		require.Equal(t, "application/json", string(c.ContentType()))
	}
	require.EqualValues(t, 1, s.conns.Load())
}
