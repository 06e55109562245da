package proxy

import (
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Republish is Publish for a catalog whose secrets may have changed: it compiles the catalog and swaps it in even if it
// equals the one in use. While none is in use, a refusal is the caller's alone to report.
func (s *Server) Republish(c *wire.Catalog, source string) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	return s.install(c, source)
}

// install compiles a catalog and swaps it in. The caller holds s.publish.
func (s *Server) install(c *wire.Catalog, source string) error {
	snap, err := s.compile(c, time.Now())
	if err != nil {
		if s.snap.Load().Digest != "" {
			s.Refuse(c.Digest(), source, err)
		}
		return err
	}
	if s.o.Budgets != nil {
		s.o.Budgets.Use(c.Budgets)
	}
	snap.linkAccounts(s.o.Budgets)
	s.useRates(snap)
	old := s.snap.Swap(snap)
	s.retire(old)
	s.memo.forget()
	snap.forgetProbes()
	s.refusal.Store(nil)
	s.retain(snap)
	s.o.Log.Info("catalog is in use", "source", source, "digest", snap.Digest, "models", len(snap.table.Models()))
	return nil
}
