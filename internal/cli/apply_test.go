package cli

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// withFiles writes files into a folder, and returns the path of the first.
func withFiles(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	first, _, _ := strings.Cut(files[0], "=")
	return filepath.Join(dir, first)
}

func read(t *testing.T, path string) (*Catalog, error) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return ReadCatalog(path, text)
}

var codeDigest = digestOf([]byte("code"))

func TestFilesBecomeDigestsWhereTheyStand(t *testing.T) {
	cases, err := wire.PackCases(map[string][]byte{"a.json": []byte(`{"x":1}`), "b.json": []byte(`{}`)})
	require.NoError(t, err)
	for name, c := range map[string]struct{ text, want string }{
		"plain": {
			"policies:\n  - name: p # first\n    module: file:p.wasm # here\n    hooks: [route]\n",
			"policies:\n  - name: p # first\n    module: \"" + codeDigest + "\" # here\n    hooks: [route]\n",
		},
		"quoted": {
			"policies: [{name: ü, module: 'file:p.wasm', hooks: [route]}, {name: q, module: \"file:./p.wasm\", hooks: [done]}]",
			"policies: [{name: ü, module: \"" + codeDigest + "\", hooks: [route]}, {name: q, module: \"" + codeDigest + "\", hooks: [done]}]",
		},
		"JSON": {
			`{"policies": [{"module": "file:p.wasm", "name": "p", "hooks": ["route"]}]}`,
			`{"policies": [{"module": "` + codeDigest + `", "name": "p", "hooks": ["route"]}]}`,
		},
		"cases": {
			"\ufeffpolicies:\r\n- {name: p, cases: file:cases, module: file:p.wasm, hooks: [route]}\r\n",
			"\ufeffpolicies:\r\n- {name: p, cases: \"" + digestOf(cases) + "\", module: \"" + codeDigest + "\", hooks: [route]}\r\n",
		},
		"digests stay": {
			"policies:\n- {name: p, module: " + codeDigest + ", hooks: [route]}\n",
			"policies:\n- {name: p, module: " + codeDigest + ", hooks: [route]}\n",
		},
		"part": {"budgets: [{name: b, limit_usd: 10, period: daily}]\n", "budgets: [{name: b, limit_usd: 10, period: daily}]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "quoted" {
				c.text, c.want = strings.ReplaceAll(c.text, "ü", "p"), strings.ReplaceAll(c.want, "ü", "p")
				c.text, c.want = "# ü\n"+c.text, "# ü\n"+c.want
			}
			got, err := read(t, withFiles(t, "c.yaml="+c.text, "p.wasm=code", `cases/a.json={"x":1}`, "cases/b.json={}", "cases/README=x"))
			require.NoError(t, err)
			assert.Equal(t, c.want, string(got.text))
		})
	}
}

func TestCatalogsThatAreRefused(t *testing.T) {
	const policy = "policies:\n- name: p\n  hooks: [route]\n  module: "
	for name, c := range map[string]struct{ text, want string }{
		"no YAML":       {"a: [", ":1:"},
		"unknown field": {"modles: []", ":1:1: modles: "},
		"no file":       {policy + "file:none.wasm", ":4:11: policies[0].module: cannot read the module: "},
		"a folder":      {policy + "file:cases", "cases is not a file"},
		"no cases":      {policy + "file:p.wasm\n  cases: file:empty", ":5:10: policies[0].cases: cannot read the cases: there is no *.json in "},
		"cases no JSON": {policy + "file:p.wasm\n  cases: file:p.wasm", "cannot pack the case p.wasm: it is not JSON"},
		"anchor":        {policy + "&m file:p.wasm", "write file:PATH on one line, without an anchor"},
		"two lines":     {policy + "\"file:\\\n    p.wasm\"", "write file:PATH on one line, without an anchor"},
		"escapes":       {policy + `"file:p\x2ewasm"`, "write file:PATH on one line, without an anchor"},
	} {
		t.Run(name, func(t *testing.T) {
			path := withFiles(t, "c.yaml="+c.text, "p.wasm=code", "cases/a.json={}", "empty/x=")
			_, err := read(t, path)
			refused, is := errors.AsType[*Refused](err)
			require.True(t, is, "%v", err)
			assert.Equal(t, path+" is not a valid catalog: correct its 1 problem", err.Error())
			assert.Contains(t, refused.Details()[0], path+":")
			assert.Contains(t, refused.Details()[0], c.want)
		})
	}
}

const (
	planned = `{"epoch":1763,"rev":12,"dry_run":true,"changes":[
		{"kind":"policy","name":"p","action":"create","after":{"name":"p","hooks":["route"],"config":{"fr":"eu"}}},
		{"kind":"version","name":"m@1.0.0","action":"update","fields":[{"path":"targets[0].weight","before":90,"after":80},
		{"path":"prompt","before":"a\u001b[2Jb"}]},{"kind":"key","name":"k","action":"delete","before":{"name":"k"}}],
		"gates":[{"name":"catalog","passed":true}]}`
	unchanged = `{"epoch":1763,"rev":12,"changes":[]}`
)

func made(plan string) string {
	return strings.NewReplacer(`"rev":12`, `"rev":13`, `"dry_run":true,`, ``).Replace(plan)
}

func policyCatalog(t *testing.T) *Catalog {
	t.Helper()
	c, err := read(t, withFiles(t, "c.yaml=policies: [{name: p, module: file:p.wasm, hooks: [route]}]\n", "p.wasm=code"))
	require.NoError(t, err)
	return c
}

func TestApplyShowsAsksAndMakes(t *testing.T) {
	f := newFake(t).
		on("PUT /api/v1/blobs/"+codeDigest, reply(201, "")).
		on("POST /api/v1/apply?dry_run=true&prune=true&reason=why", reply(200, planned)).
		on("POST /api/v1/apply?prune=true&reason=why", reply(200, made(planned)))
	s := open(t, f.URL, Table)
	s.Reason = "why"
	var question string
	s.Ask = func(q string) (bool, error) { question = q; return true, nil }
	c := policyCatalog(t)
	require.NoError(t, s.Apply(t.Context(), c, Apply{Prune: true}))
	assert.Equal(t, "Make 3 changes at "+f.URL+"?", question)
	testkit.Golden(t, "testdata/apply.golden", s.out.Bytes())
	assert.Equal(t, []string{
		"HEAD /api/v1/blobs/" + codeDigest, "PUT /api/v1/blobs/" + codeDigest,
		"POST /api/v1/apply?dry_run=true&prune=true&reason=why", "POST /api/v1/apply?prune=true&reason=why",
	}, f.lines())
	blob, apply := f.requests()[1], f.requests()[3]
	assert.Equal(t, "code", blob.body)
	assert.Equal(t, "application/octet-stream", blob.header.Get("Content-Type"))
	assert.Equal(t, string(c.text), apply.body)
	assert.Equal(t, "application/yaml", apply.header.Get("Content-Type"))
}

func TestBlobsThatAreThereAreNotSent(t *testing.T) {
	f := newFake(t).on("HEAD /api/v1/blobs/"+codeDigest, reply(200, "")).on("POST /api/v1/apply?dry_run=true", reply(200, unchanged))
	s := open(t, f.URL, Table)
	require.NoError(t, s.Apply(t.Context(), policyCatalog(t), Apply{}))
	assert.Equal(t, []string{"HEAD /api/v1/blobs/" + codeDigest, "POST /api/v1/apply?dry_run=true"}, f.lines(), "nothing changes: nothing is made")
	assert.Equal(t, "nothing changes: revision 12 has it all\n", s.out.String())
}

func TestApplyForPrograms(t *testing.T) {
	for _, format := range []string{JSON, YAML} {
		f := newFake(t).on("HEAD /api/v1/blobs/"+codeDigest, reply(200, "")).
			on("POST /api/v1/apply?dry_run=true", reply(200, planned)).on("POST /api/v1/apply", reply(200, made(planned)))
		s := open(t, f.URL, format)
		require.NoError(t, s.Apply(t.Context(), policyCatalog(t), Apply{}))
		answer := s.out.String()
		if format == YAML {
			asJSON, err := jsonOf("the answer", []byte(answer))
			require.NoError(t, err)
			answer = string(asJSON)
		}
		sameJSON(t, made(planned), answer)
		assert.Empty(t, s.notes.String())

		s = open(t, f.URL, format)
		s.Ask = func(string) (bool, error) { return true, nil }
		require.NoError(t, s.Apply(t.Context(), policyCatalog(t), Apply{}))
		assert.Contains(t, s.notes.String(), "+ policy p\n", "who is asked sees what about")
		assert.NotContains(t, s.out.String(), "+ policy p\n")
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	f := newFake(t).on("HEAD /api/v1/blobs/"+codeDigest, reply(200, "")).on("POST /api/v1/apply?dry_run=true", reply(200, planned))
	s := open(t, f.URL, Table)
	s.Ask = func(string) (bool, error) { return false, errors.New("nobody is to be asked") }
	require.NoError(t, s.Apply(t.Context(), policyCatalog(t), Apply{DryRun: true}))
	testkit.Golden(t, "testdata/apply_dryrun.golden", s.out.Bytes())
}

func TestLargeChangesTakeSeveralRevisions(t *testing.T) {
	const answer = `{"epoch":1,"rev":9,"dry_run":true,"changes":[{"kind":"key","name":"k","action":"delete"}],"revisions":3}`
	f := newFake(t).on("HEAD /api/v1/blobs/"+codeDigest, reply(200, "")).on("POST /api/v1/apply?dry_run=true", reply(200, answer)).
		on("POST /api/v1/apply", reply(200, strings.Replace(answer, `"dry_run":true,`, "", 1)))
	s := open(t, f.URL, Table)
	require.NoError(t, s.Apply(t.Context(), policyCatalog(t), Apply{DryRun: true}))
	assert.Equal(t, "- key k\n1 change (1 deleted), in 3 revisions; nothing was changed\n", s.out.String())
	s.out.Reset()
	require.NoError(t, s.Apply(t.Context(), policyCatalog(t), Apply{}))
	assert.Equal(t, "- key k\nrevision 9, the last of 3: 1 change (1 deleted)\n", s.out.String())
}

func TestWhoSaysNoChangesNothing(t *testing.T) {
	f := newFake(t).on("HEAD /api/v1/blobs/"+codeDigest, reply(200, "")).on("POST /api/v1/apply?dry_run=true", reply(200, planned))
	s := open(t, f.URL, Table)
	s.Ask = func(string) (bool, error) { return false, nil }
	require.ErrorIs(t, s.Apply(t.Context(), policyCatalog(t), Apply{}), errDeclined)
	assert.NotContains(t, f.lines(), "POST /api/v1/apply")
	s.Ask = func(string) (bool, error) { return false, os.ErrClosed }
	require.ErrorIs(t, s.Apply(t.Context(), policyCatalog(t), Apply{}), os.ErrClosed)
	assert.NotContains(t, f.lines(), "POST /api/v1/apply")
}

func TestApplyTellsWhenOthersWereFaster(t *testing.T) {
	f := newFake(t).on("HEAD /api/v1/blobs/"+codeDigest, reply(200, "")).on("POST /api/v1/apply?dry_run=true", reply(200, planned)).
		on("POST /api/v1/apply", reply(200, `{"rev":14,"changes":[{"kind":"key","name":"k","action":"delete"}]}`))
	s := open(t, f.URL, Table)
	require.NoError(t, s.Apply(t.Context(), policyCatalog(t), Apply{}))
	assert.True(t, strings.HasSuffix(s.out.String(),
		"something else was changed in the meantime; this is what was made:\n- key k\nrevision 14: 1 change (1 deleted)\n"), s.out.String())
}

func TestApplyNamesTheFileOfProblems(t *testing.T) {
	f := newFake(t).on("HEAD /api/v1/blobs/"+codeDigest, reply(200, "")).on("POST /api/v1/apply?dry_run=true", reply(400,
		`{"error":{"code":"invalid","message":"the catalog has problems","problems":[{"line":1,"column":12,"path":"policies[0]","message":"bad"}]}}`))
	c := policyCatalog(t)
	err := open(t, f.URL, Table).Apply(t.Context(), c, Apply{})
	require.EqualError(t, err, "cannot apply "+c.name+": the catalog has problems")
	e, _ := errors.AsType[*Error](err)
	assert.Equal(t, []string{c.name + ":1:12: policies[0]: bad"}, e.Details())
}

func TestBlobThatIsRefused(t *testing.T) {
	f := newFake(t).on("PUT /api/v1/blobs/"+codeDigest, reply(403, `{"error":{"code":"forbidden","message":"a viewer may not do this"}}`))
	c := policyCatalog(t)
	err := open(t, f.URL, Table).Apply(t.Context(), c, Apply{})
	require.EqualError(t, err, "cannot apply "+c.name+": cannot send the module of policy p: a viewer may not do this; use a token with a role that may")
}

func TestPushPolicy(t *testing.T) {
	f := newFake(t).on("PUT /api/v1/blobs/"+codeDigest, reply(201, "")).
		on("GET /api/v1/policies/p", reply(200, `{"kind":"policy","name":"p","version":4,"body":{"name":"p","module":"sha256:00"}}`)).
		on("PUT /api/v1/policies/p", reply(200, resultAnswer))
	s := open(t, f.URL, Table)
	require.NoError(t, s.PushPolicy(t.Context(), "p", withFiles(t, "p.wasm=code")))
	put := f.requests()[3]
	assert.Equal(t, `{"module":"`+codeDigest+`","name":"p"}`, put.body)
	assert.Equal(t, `"4"`, put.header.Get("If-Match"))
	require.ErrorContains(t, s.PushPolicy(t.Context(), "p", t.TempDir()), "is not a file")
}

func TestDownloads(t *testing.T) {
	whole := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("bytes")) }
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("byt"))
	}
	f := newFake(t).on("GET /api/v1/bundle", whole).on("POST /api/v1/backup", half)
	s := open(t, f.URL, Table)
	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(file, []byte("before"), 0o644))

	require.ErrorContains(t, s.Backup(t.Context(), file), "cannot back the origin up: ")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "before", string(text), "half a backup is none")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "what was begun is cleaned up")

	require.NoError(t, s.Bundle(t.Context(), file))
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "bytes", string(text))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	assert.Equal(t, file+": 5 bytes\n", s.notes.String())

	require.NoError(t, s.Bundle(t.Context(), ""))
	assert.Equal(t, "bytes", s.out.String())
	require.ErrorContains(t, s.Bundle(t.Context(), filepath.Join(dir, "none", "out")), "cannot export the bundle: ")
}
