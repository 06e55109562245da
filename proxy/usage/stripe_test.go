package usage

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/wire"
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

// Each name and number that is counted is in the report as it is sent.
func TestNothingIsLeftOutOfReports(t *testing.T) {
	var k Key
	var v Values
	for _, of := range []reflect.Value{reflect.ValueOf(&k).Elem(), reflect.ValueOf(&v).Elem()} {
		for i := range of.NumField() {
			if field := of.Field(i); field.Kind() == reflect.String {
				field.SetString(of.Type().Field(i).Name)
			} else {
				field.SetInt(int64(i+1) * 1_000_000)
			}
		}
	}
	c := newClock()
	u := open(t, newDisk(), Options{Now: c.Now})
	u.Add(k, v)
	u.work()
	c.now = c.now.Add(time.Hour)
	u.work()
	r, ok := u.Next()
	require.True(t, ok)
	sent, err := json.Marshal(r)
	require.NoError(t, err)
	var got wire.Report
	require.NoError(t, json.Unmarshal(sent, &got))
	require.Len(t, got.Usage, 1)
	row := reflect.ValueOf(got.Usage[0])
	for i := range row.NumField() {
		name := row.Type().Field(i).Name
		want := reflect.ValueOf(k).FieldByName(name)
		if !want.IsValid() {
			want = reflect.ValueOf(v).FieldByName(name)
		}
		if want.IsValid() {
			assert.Equal(t, want.Interface(), row.Field(i).Interface(), name)
		}
		assert.False(t, row.Field(i).IsZero(), name)
	}
	assert.Equal(t, []int64{v.Took.Microseconds(), v.FirstToken.Microseconds(), 1}, []int64{got.Usage[0].MicrosSum, got.Usage[0].TTFTSum, got.Usage[0].TTFTCount})
}
