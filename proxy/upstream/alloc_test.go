//go:build !race

package upstream

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNoAllocations(t *testing.T) {
	const stream = chunkedHead + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
	for name, raw := range map[string]string{"length": helloAnswer, "chunked": stream} {
		// The server allocates nothing either: AllocsPerRun counts every goroutine's.
		answer := []byte(raw)
		s := listen(t, func(p *peer) {
			b := make([]byte, 64<<10)
			for {
				if _, err := p.Read(b); err != nil {
					return
				}
				if _, err := p.Write(answer); err != nil {
					return
				}
			}
		})
		e := endpoint(t, s.url())
		var c Call
		req := get()
		req.Body = make([]byte, 1400)
		dst := make([]byte, 0, 1<<10)
		for reader, read := range map[string]func() error{
			"AppendAll": func() (err error) { dst, err = c.AppendAll(dst[:0], 100); return err },
			"Read":      func() error { _, err := c.Read(dst[:cap(dst)]); return err },
		} {
			assert.Zero(t, testing.AllocsPerRun(300, func() {
				require.NoError(t, e.Do(&c, req))
				require.NoError(t, read())
				c.Close()
			}), "%s %s", name, reader)
		}
	}
}
