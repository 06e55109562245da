// Writes all that its views hold as actions, for sdk_test.go.
package main

import (
	"math"

	"policy/wedge1"
)

type actions struct{ *wedge1.Actions }

func (a actions) nums(all ...uint32) {
	for _, n := range all {
		a.MaxTokens(n)
	}
}

func (a actions) wide(all ...uint64) {
	for _, n := range all {
		a.KVAdd(nil, int64(n), 0)
	}
}

func (a actions) texts(all ...[]byte) {
	for _, t := range all {
		a.TargetBytes(t)
	}
}

func (a actions) bools(all ...bool) {
	for _, b := range all {
		if b {
			a.MaxTokens(1)
		} else {
			a.MaxTokens(0)
		}
	}
}

func (a actions) pairs(p wedge1.Pairs) {
	for i := range p.Len() {
		name, value := p.At(i)
		a.SetHeader(string(name), string(value))
	}
}

var config []byte

func init() {
	const caps = wedge1.Body | wedge1.System | wedge1.User | wedge1.Headers | wedge1.Targets | wedge1.State
	wedge1.Serve(wedge1.Policy{Caps: caps, Init: configure, Request: request, Response: response, Chunk: chunk, Done: done})
}

func configure(given []byte) error {
	config = given
	if wedge1.Member(given, "refuse") != nil {
		return wedge1.ErrConfig
	}
	return nil
}

func everyAction(a *wedge1.Actions) {
	a.Target("eu")
	a.Critical()
	a.Shadow("taken back")
	a.Undo()
	a.Fallbacks("eu,us")
	a.Model("bot@1.x")
	a.Version("1.2.0")
	a.SetHeader("x-a", "b")
	a.DeleteHeader("x-a")
	a.ResponseHeader("x-b", "é")
	a.Deny(429, 30, "later")
	a.CacheSalt([]byte("fr"))
	a.Cache(wedge1.CacheExact, 60)
	a.Metric("k", "v")
	a.Patches([]wedge1.Patch{{Offset: 3, Delete: 4, Insert: []byte("ins")}})
	a.Body([]byte("{}"))
	a.SystemPrepend("before")
	a.SystemReplace("instead")
	a.Message(2, []byte("text"))
	a.MaxTokens(256)
	a.Timeout(5000)
	a.Log(wedge1.Warn, "line")
	a.KVPut([]byte("key"), []byte("value"), 7)
	a.KVAdd([]byte("count"), -5, 8)
	a.Hedge(250)
	a.Shadow("us")
	a.Answer("no")
	a.State([]byte("left"))
	a.Text([]byte("other"))
	a.Drop()
	a.Stop("enough")
}

// imports uses every import.
func imports(a actions) {
	var got [8]byte
	wedge1.Log(wedge1.Info, []byte("hello"))
	a.nums(uint32(wedge1.Get([]byte("none"), got[:])))
	a.bools(!wedge1.Put([]byte("k"), []byte("v"), 9))
	a.nums(uint32(wedge1.Get([]byte("k"), got[:])))
	a.texts(got[:1])
	a.wide(uint64(wedge1.Add([]byte("n"), -3, 0)), uint64(wedge1.Now()))
}

func request(r *wedge1.Request, list *wedge1.Actions) error {
	a := actions{list}
	switch string(r.Model()) {
	case "every action":
		everyAction(list)
		return nil
	case "imports":
		imports(a)
		return nil
	case "config":
		a.texts(wedge1.Member(config, "name"))
		return nil
	case "hash":
		a.wide(wedge1.Hash(3, []byte("abc")))
		return nil
	case "fail":
		return wedge1.ErrUnsupported
	}
	a.bools(r.Stream(), r.HasTools(), r.HasImages(), r.JSONOutput(), r.Retry())
	a.wide(r.ID(), uint64(r.UnixMS()), r.PrefixHash(), r.Random())
	a.nums(r.PromptTokens(), r.MaxTokens(), r.Messages(), r.Tools(), math.Float32bits(r.Temperature()), r.Attempt())
	a.texts(r.Model(), r.Tenant(), r.User(), r.Endpoint(), r.System(), r.LastUser(), r.Body(), r.Version())
	a.pairs(r.Headers())
	a.pairs(r.KV())
	for i := range r.Targets().Len() {
		t := r.Targets().At(i)
		a.texts(t.Name(), t.Region())
		a.bools(t.Healthy(), t.Breaker())
		a.nums(t.InFlight(), t.TTFT(), t.PerToken(), t.PriceIn(), t.PriceOut())
	}
	return nil
}

func chunk(c *wedge1.Chunk, list *wedge1.Actions) error {
	a := actions{list}
	a.bools(c.First(), c.Last())
	a.wide(c.ID())
	a.nums(c.Seq(), c.Choice(), c.Tokens())
	a.texts(c.Text(), c.State(), c.Finish())
	return nil
}

func response(r *wedge1.Response, list *wedge1.Actions) error {
	a := actions{list}
	a.bools(r.Cached())
	a.wide(r.ID())
	a.nums(r.Status(), r.Choice(), r.Input(), r.Output())
	a.texts(r.Text(), r.State(), r.Finish())
	return nil
}

func done(d *wedge1.Done, list *wedge1.Actions) error {
	a := actions{list}
	a.bools(d.Error(), d.Cached(), d.Cancelled(), d.Stream())
	a.wide(d.ID())
	a.nums(d.Status(), d.TTFT(), d.Duration(), d.Input(), d.Output(), d.CachedIn(), d.Reasoning())
	a.wide(d.Cost())
	a.texts(d.Model(), d.Version(), d.Target(), d.State())
	return nil
}

func main() {}
