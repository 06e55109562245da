package catalog

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

func table(tb testing.TB, experiments string) *Table {
	tb.Helper()
	text := `
providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1/v1"}]
models:
  - name: m
    unit: user
    versions:
`
	for _, v := range [][2]string{
		{"1.0.0", "production"}, {"1.1.0", "staging"}, {"0.9.0", "deprecated"}, {"0.9.4", "deprecated"}, {"0.1.0", "archived"},
		{"2.0.0", "development"}, {"1.2.0-rc.1", "deprecated"},
	} {
		text += fmt.Sprintf("      - {version: %s, status: %s, targets: [{provider: p, model: %q}]}\n", v[0], v[1], "up-"+v[0])
	}
	text += "  - {name: new, versions: [{version: 0.1.0, status: staging, targets: [{provider: p, model: x}]}]}\n" + experiments
	c, err := wire.ParseCatalog("test", []byte(text))
	require.NoError(tb, err)
	return Compile(c)
}

func TestReferences(t *testing.T) {
	m := table(t, "").Model([]byte("m"))
	require.NotNil(t, m)
	assert.Equal(t, "1.0.0", m.Production().Version.Version)
	for ref, want := range map[string]string{
		"1.0.0": "1.0.0", "1.x": "1.0.0", "1.0.x": "1.0.0", "0.x": "0.9.4", "0.9.x": "0.9.4", "0.9.0": "0.9.0",
		"1.2.0-rc.1": "1.2.0-rc.1", "production": "1.0.0", "deprecated": "1.2.0-rc.1",
	} {
		v, err := m.Version([]byte(ref), false)
		require.NoError(t, err, ref)
		assert.Equal(t, want, v.Version.Version, ref)
	}
	for ref, want := range map[string]string{"staging": "1.1.0", "1.1.0": "1.1.0", "development": "2.0.0", "2.0.0": "2.0.0"} {
		_, err := m.Version([]byte(ref), false)
		require.ErrorIs(t, err, ErrForbidden, ref)
		v, err := m.Version([]byte(ref), true)
		require.NoError(t, err, ref)
		assert.Equal(t, want, v.Version.Version, ref)
	}
	for _, ref := range []string{"", "0.1.0", "3.0.0", "2.x", "archived", "1", "latest"} {
		_, err := m.Version([]byte(ref), true)
		assert.ErrorIs(t, err, ErrUnknown, ref)
	}
	assert.Nil(t, table(t, "").Model([]byte("new")).Production())
	assert.Nil(t, table(t, "").Model([]byte("nobody")))
}

func TestSplit(t *testing.T) {
	for ref, want := range map[string][2]string{"m": {"m", ""}, "m@1.x": {"m", "1.x"}, "p/q@r@2": {"p/q@r", "2"}} {
		name, version := Split([]byte(ref))
		assert.Equal(t, want, [2]string{string(name), string(version)})
	}
	_, version := Split([]byte("m"))
	assert.Nil(t, version)
}

const halves = `
experiments:
  - {name: e, model: m, status: running, arms: [{name: control, version: 1.0.0, weight: 50}, {name: next, version: 1.1.0, weight: 50}]}
`

func TestAssign(t *testing.T) {
	m := table(t, halves).Model([]byte("m"))
	var n [2]int
	for i := range 10_000 {
		u := Units{User: fmt.Appendf(nil, "user-%d", i), Key: []byte("k")}
		e, arm := m.Assign(&u)
		require.NotNil(t, e)
		_, again := m.Assign(&u)
		require.Equal(t, arm, again)
		n[arm]++
	}
	assert.InDelta(t, 5000, n[0], 100)
	e, arm, ok := m.Arm([]byte("next"))
	require.True(t, ok)
	assert.Equal(t, "1.1.0", e.Arms[arm].Version.Version)
	assert.Equal(t, "e=next", e.Labels[arm])
	_, _, ok = m.Arm([]byte("other"))
	assert.False(t, ok)
	e, _ = table(t, "").Model([]byte("m")).Assign(&Units{Key: []byte("k")})
	assert.Nil(t, e)
}

func TestUnitFallsBackToTheKey(t *testing.T) {
	u := Units{User: []byte("u"), Key: []byte("k"), Request: []byte("r")}
	for kind, want := range map[string]string{"user": "u", "session": "k", "key": "k", "request": "r"} {
		assert.Equal(t, want, string(u.Of(kind)), kind)
	}
}

func TestResolveAllocatesNothing(t *testing.T) {
	m := table(t, halves)
	u := Units{User: []byte("user-1"), Key: []byte("k")}
	ref := []byte("m@1.x")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		name, version := Split(ref)
		model := m.Model(name)
		if _, err := model.Version(version, false); err != nil {
			t.Fatal(err)
		}
		model.Assign(&u)
	}))
}

func BenchmarkResolve(b *testing.B) {
	m, ref := table(b, ""), []byte("m@1.x")
	b.ReportAllocs()
	for range b.N {
		name, version := Split(ref)
		if _, err := m.Model(name).Version(version, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssign(b *testing.B) {
	m := table(b, halves).Model([]byte("m"))
	u := Units{User: []byte("user-1234567"), Key: []byte("k")}
	b.ReportAllocs()
	for range b.N {
		if e, _ := m.Assign(&u); e == nil {
			b.Fatal("no arm")
		}
	}
}
