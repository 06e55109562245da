package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// secret keeps a secret, and returns its commitment.
func (o *origin) secret(name, value string) string {
	o.t.Helper()
	var record wire.SecretRecord
	require.NoError(o.t, o.store.Update(o.t.Context(), func(t *store.Tx) error {
		body, err := o.vault.PutSecret(t, name, value)
		if err == nil {
			err = json.Unmarshal(body, &record)
		}
		if err == nil {
			_, err = t.Apply(store.ChangeSet{Actor: "tester", Ops: []store.Op{store.Put(wire.KindSecret, name, body, store.Any)}})
		}
		return err
	}))
	return record.Commit
}

func (o *origin) provider(name, body string) {
	o.t.Helper()
	_, err := o.store.Apply(o.t.Context(), store.ChangeSet{Actor: "tester", Ops: []store.Op{store.Put(wire.KindProvider, name, []byte(body), store.Any)}})
	require.NoError(o.t, err)
}

func TestSecrets(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.url = o.server.URL
	commits := map[string]string{}
	for _, name := range []string{"key", "team/header", "unused"} {
		commits[name] = o.secret(name, "the value of "+name)
	}
	ask := func(names ...string) (map[string][]byte, error) {
		var s wire.Secrets
		err := n.post(wire.PathSecrets, wire.SecretsWanted{Names: names}, &s)
		return s.Sealed, err
	}
	_, err := ask("key")
	assert.Equal(t, codeForbidden, codeOf(err), "no provider names it")
	o.provider("p", `{"name":"p","api_key":"origin:key","headers":{"x-team":"origin:team/header","x-n":1}}`)
	o.provider("q", `{"name":"q","api_key":"origin:missing"}`)
	sealed, err := ask("key", "team/header")
	require.NoError(t, err)
	require.Len(t, sealed, 2)
	for name, b := range sealed {
		value, err := wire.OpenSecret(n.key, name, commits[name], b)
		require.NoError(t, err)
		assert.Equal(t, "the value of "+name, value)
	}
	_, err = ask("key", "unused")
	assert.Equal(t, codeForbidden, codeOf(err))
	_, err = ask("missing")
	assert.Equal(t, codeNotFound, codeOf(err))
	_, err = ask(make([]string, maxSecretNames+1)...)
	assert.Equal(t, codeInvalid, codeOf(err))
	o.provider("p", `{"name":"p"}`)
	_, err = ask("key")
	assert.Equal(t, codeForbidden, codeOf(err), "no provider names it any more")
}

func TestBlobs(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.url = o.server.URL
	blob := bytes.Repeat([]byte("0123456789"), 100_000)
	digest, err := o.store.PutBytes(t.Context(), blob)
	require.NoError(t, err)
	get := func(digest string, header ...string) ([]byte, int, error) {
		answer, err := n.ask(t.Context(), http.MethodGet, wire.PathBlob+digest, nil, header...)
		if err != nil {
			return nil, 0, err
		}
		defer func() { _ = answer.Body.Close() }()
		b, err := io.ReadAll(answer.Body)
		return b, answer.StatusCode, err
	}
	got, status, err := get(digest)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status)
	assert.True(t, bytes.Equal(blob, got))
	got, status, err = get(digest, "Range", "bytes=999990-")
	require.NoError(t, err)
	assert.Equal(t, http.StatusPartialContent, status)
	assert.Equal(t, "0123456789", string(got))
	_, _, err = get("sha256:" + strings.Repeat("0", 64))
	assert.Equal(t, codeNotFound, codeOf(err))
	_, _, err = get("sha256:x")
	assert.Contains(t, []string{codeNotFound, codeInvalid}, codeOf(err))
}

func TestReports(t *testing.T) {
	var failure error
	var booked []wire.Report
	o := start(t, openStore(t, sqlite(t)), func(o *Options) {
		o.Book = func(_ context.Context, node string, r *wire.Report) (wire.ReportReply, error) {
			assert.Equal(t, "n1", node)
			if failure == nil {
				booked = append(booked, *r)
			}
			return wire.ReportReply{Seq: r.Seq}, failure
		}
	})
	n := o.enrol("n1", "")
	n.url = o.server.URL
	report := wire.Report{Incarnation: "i", Seq: 7, Usage: []wire.Usage{{Model: "m", Requests: 3}}}
	var reply wire.ReportReply
	require.NoError(t, n.post(wire.PathReport, report, &reply))
	assert.Equal(t, wire.ReportReply{Seq: 7}, reply)
	assert.Equal(t, []wire.Report{report}, booked)
	until(t, "written down", func() bool { return o.node("n1").ReportSeq == 7 })
	for err, code := range map[error]string{ErrGap: codeGap, ErrReport: codeInvalid, store.ErrUnknown: codeBusy, errors.New("x"): codeInternal} {
		failure = err
		assert.Equal(t, code, codeOf(n.post(wire.PathReport, report, nil)))
	}
}

func TestBundle(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	o.secret("key", "value")
	var file bytes.Buffer
	require.NoError(t, o.Bundle(t.Context(), &file))
	keys, err := o.vault.Trust(t.Context())
	require.NoError(t, err)
	trust, err := wire.TrustOf(keys...)
	require.NoError(t, err)
	b, err := wire.ReadBundle(&file, trust)
	require.NoError(t, err)
	head, err := o.store.Head(t.Context())
	require.NoError(t, err)
	assert.Equal(t, positionOf(head), b.Head.Position)
	assert.Len(t, b.Resources, 2)
}

func TestMetrics(t *testing.T) {
	registry := obs.NewRegistry()
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.Metrics = registry })
	n := o.enrol("n1", "")
	o.enrol("n2", "")
	n.connect(o)
	n.reaches(o.put("a", "1"))
	n.set(func() { n.refuse = func(int64) *wire.Nack { return &wire.Nack{Code: wire.NackLimit} } })
	head := o.put("a", "2")
	until(t, "refused", func() bool { return o.node("n1").Refused != nil })
	assert.Equal(t, head.Rev, o.node("n1").Refused.Rev)
	o.held()
	until(t, "held", func() bool {
		var text strings.Builder
		require.NoError(t, registry.WriteText(&text))
		for _, line := range []string{
			`wedge_origin_nodes{state="held"} 1`, `wedge_origin_nodes{state="offline"} 1`, `wedge_origin_nodes{state="online"} 0`,
			`wedge_origin_revision{wave="head"} 3`, `wedge_origin_rollout_stage 4`, `wedge_origin_nacks_total{code="limit"} 1`,
			`wedge_origin_acks_total `,
		} {
			if !strings.Contains(text.String(), line) {
				return false
			}
		}
		return true
	})
}

func TestNodesAreListedInPages(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	for _, name := range []string{"c", "a", "b"} {
		o.enrol(name, "")
	}
	page, err := o.Nodes(t.Context(), "", 2)
	require.NoError(t, err)
	require.Len(t, page, 2)
	assert.Equal(t, "a", page[0].Name)
	page, err = o.Nodes(t.Context(), page[1].Name, 2)
	require.NoError(t, err)
	require.Len(t, page, 1)
	assert.Equal(t, "c", page[0].Name)
	_, err = o.Node(t.Context(), "d")
	assert.ErrorIs(t, err, store.ErrNotFound)
	assert.ErrorIs(t, o.Pin(t.Context(), "d", true, ""), store.ErrNotFound)
	assert.ErrorIs(t, o.Remove(t.Context(), "d"), store.ErrNotFound)
	assert.ErrorIs(t, o.Drain(t.Context(), "a", true, "\x00"), store.ErrInvalid)
}
