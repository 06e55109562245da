package usage

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/internal/bytesx"
)

// A request's strings lie in buffers that the next request writes over.
func TestAddKeepsCopies(t *testing.T) {
	var k Key
	var buffers [][]byte
	want := map[string]string{}
	for i, fields := 0, reflect.ValueOf(&k).Elem(); i < fields.NumField(); i++ {
		name := fields.Type().Field(i).Name
		if fields.Field(i).Kind() != reflect.String {
			continue
		}
		buffers, want[name] = append(buffers, []byte(name)), name
		fields.Field(i).SetString(bytesx.String(buffers[len(buffers)-1]))
	}
	u := open(t, newDisk(), Options{})
	u.Add(k, Values{Requests: 1})
	for _, b := range buffers {
		for i := range b {
			b[i] = '!'
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drain()
	kept := reflect.ValueOf(keyOf(&u.open.rows[0]))
	for name := range want {
		assert.Equal(t, name, kept.FieldByName(name).String())
	}
}
