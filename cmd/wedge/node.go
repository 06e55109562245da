package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/proxy"
	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/dialect/anthropic"
	"github.com/wedge-proxy/wedge/proxy/dialect/gemini"
	"github.com/wedge-proxy/wedge/proxy/dialect/openai"
	"github.com/wedge-proxy/wedge/proxy/rate"
	"github.com/wedge-proxy/wedge/proxy/usage"
	"github.com/wedge-proxy/wedge/store/badger"
	"github.com/wedge-proxy/wedge/store/memory"
	"github.com/wedge-proxy/wedge/wire"
)

// drainGrace is how long requests under way may take to end once the process is asked to.
const drainGrace = 30 * time.Second

// nodeOptions are what a node process is made of.
type nodeOptions struct {
	Name        string
	Listen      string
	Admin       string
	AdminToken  string
	Data        string
	AccessLog   string // a file, "-" for standard output, "" for none
	CacheMemory byteSize
	CacheDisk   byteSize
	MaxBody     byteSize
	MaxHeader   byteSize
	ReadTimeout time.Duration
	Drain       time.Duration
	TLS         tlsOptions
	AllowOrigin []string
	Follows     bool // an origin, which wants to know what requests used
}

// node is a running node: the server between its drivers.
type node struct {
	o            nodeOptions
	log          *slog.Logger
	dir          string // what file: secrets are relative to
	server       *proxy.Server
	cache        *cache.Cache
	memory       *memory.Cache[*cache.Entry]
	disk         *badger.DB // nil if the store cannot be used
	guest        bool       // another process has the data folder
	notesMu      sync.Mutex // held for notes once the node serves
	notes        []string
	policies     *policyHost
	policyTemp   string                           // the folder of compiled policies, if it goes with the process
	usage        *usage.Usage                     // nil if nobody wants to know
	budgets      *budget.Book                     // nil without a store: catalogs with budgets are refused
	lender       lender                           // whom the budgets' money comes from
	resolve      func(ref string) (string, error) // secrets of a catalog that came from elsewhere; nil: the node's own
	spool        func() any                       // the reports that wait, for /status; nil without an origin
	link         func() any                       // the state of the link to the origin, for /status; nil without one
	certificates *acmeCertificates                // that the node gets itself; nil: none
	accessLog    *obs.AccessLog
	logFile      io.Closer
	data         net.Listener
	admin        net.Listener
}

// newNode opens the store and the listeners. dir is what file: secrets of the catalog are relative to.
func newNode(o nodeOptions, dir string, log *slog.Logger) (*node, error) {
	n := &node{o: o, log: log, dir: dir}
	if err := n.open(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *node) open() (err error) {
	if err := os.MkdirAll(n.o.Data, 0o700); err != nil {
		n.note("cannot make the data folder; answers are kept in memory only", err)
	}
	if err := n.openLog(); err != nil {
		return err
	}
	if n.data, err = listen(n.o.Listen, "--listen"); err != nil {
		return err
	}
	if n.admin, err = listen(n.o.Admin, "--admin"); err != nil {
		return err
	}
	if err := n.adminToken(); err != nil {
		return err
	}
	if n.memory, err = memory.New(memory.Options[*cache.Entry]{
		MaxBytes: int64(n.o.CacheMemory), Weight: (*cache.Entry).Weight,
	}); err != nil {
		return err
	}
	return n.newServer()
}

func (n *node) newServer() error {
	co := cache.Options{Memory: memoryTier{n.memory}, Log: n.log}
	n.openPolicies()
	po := proxy.Options{
		Node: n.o.Name, Dialects: dialects(),
		Log: n.log, AccessLog: n.accessLog,
		MaxBody: int(n.o.MaxBody), MaxHeader: int(n.o.MaxHeader), ReadTimeout: n.o.ReadTimeout, Registry: obs.NewRegistry(),
		Secret: n.secret, FromOrigin: n.o.Follows, PlainHTTP2: n.o.TLS.Plain, Origins: n.o.AllowOrigin,
	}
	var err error
	if po.TLS, err = n.o.TLS.config(n.log); err != nil {
		return err
	}
	if len(n.o.TLS.ACME.Domains) > 0 {
		if n.certificates, err = newACME(n.o.TLS.ACME, filepath.Join(n.o.Data, "acme"), n.log); err != nil {
			return err
		}
		po.TLS = n.certificates.config()
	}
	if n.policies != nil {
		po.Policies = n.policies
	}
	disk, err := badger.Open(filepath.Join(n.o.Data, "store"), badger.Options{Log: n.log, Recover: true})
	switch {
	case err == nil:
		n.disk, po.Durable = disk, disk
		if co.Disk, err = disk.Tier([]byte("cache"), int64(n.o.CacheDisk)); err != nil {
			return err
		}
		if aside := disk.Aside(); aside != "" { // the store has logged it
			n.notes = append(n.notes, "the store was corrupt: it has been moved to "+aside+", and an empty one took its place")
		}
	case errors.Is(err, badger.ErrLocked):
		n.guest = true
		n.note("cannot open the store; answers are kept in memory only, and addresses.json is the other process's", err)
	default:
		n.note("cannot open the store; answers are kept in memory only", err)
	}
	n.cache = cache.New(co)
	po.Cache = n.cache
	if n.o.Follows && n.disk != nil {
		if n.usage, err = usage.New(n.disk, usage.Options{Log: n.log}); err != nil {
			return err
		}
		po.Usage, n.spool = n.usage, func() any { return n.usage.Status() }
	}
	if err := n.openBudgets(&po); err != nil {
		return err
	}
	n.server, err = proxy.New(po)
	return err
}

// openBudgets makes what keeps the node within its budgets and rate limits. What was spent must outlive the process, so that
// there are no budgets without a store.
func (n *node) openBudgets(po *proxy.Options) (err error) {
	po.Rates = rate.New(rate.Options{})
	if n.disk == nil {
		return nil
	}
	o := budget.Options{KV: n.disk, Dir: n.o.Data, Log: n.log, Rates: po.Rates.Demand, Shares: po.Rates.Share}
	if n.o.Follows {
		o.Lender = &n.lender
	}
	n.budgets, err = budget.Open(o)
	po.Budgets = n.budgets
	return err
}

// lender lets a node that follows an origin lease from it once the link is there.
type lender struct {
	lease atomic.Pointer[func(context.Context, *wire.LeaseRequest) (*wire.LeaseReply, error)]
}

var errNoLink = errors.New("the link to the origin is not there yet")

// Lease asks the origin.
func (l *lender) Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	lease := l.lease.Load()
	if lease == nil {
		return nil, errNoLink
	}
	return (*lease)(ctx, r)
}

// openPolicies makes what runs policies. Without a folder of its own for compiled ones the node serves all the same, and
// refuses catalogs with policies.
func (n *node) openPolicies() {
	dir, temporary, err := policyCache(n.o.Data)
	if err == nil && !temporary {
		if n.policies, err = newPolicyHost(dir, n.log); err == nil {
			return
		}
		n.note("cannot keep compiled policies in the data folder; they are compiled anew at every start", err)
		dir, err = os.MkdirTemp("", "wedge-policies-")
	}
	if err == nil {
		n.policyTemp = dir
		n.policies, err = newPolicyHost(dir, n.log)
	}
	if err != nil {
		n.policies = nil
		n.note("cannot make a folder for compiled policies, so this node runs none; make the data folder writable, or set TMPDIR", err)
	}
}

// memoryTier lets the memory store keep entries.
type memoryTier struct{ *memory.Cache[*cache.Entry] }

func (m memoryTier) Set(key [32]byte, e *cache.Entry, ttl time.Duration) { m.Cache.Set(key, e, ttl) }

// note says, in the log and on /status, what the node has to do without.
func (n *node) note(what string, err error) {
	n.log.Error(what, "error", err)
	n.notesMu.Lock()
	defer n.notesMu.Unlock()
	n.notes = append(n.notes, what+": "+err.Error())
}

func (n *node) noted() []string {
	n.notesMu.Lock()
	defer n.notesMu.Unlock()
	return slices.Clone(n.notes)
}

// secret resolves a reference of the catalog.
func (n *node) secret(ref string) (string, error) {
	if n.resolve != nil {
		return n.resolve(ref)
	}
	return n.ownSecret(ref)
}

// ownSecret resolves a reference to what this machine has.
func (n *node) ownSecret(ref string) (string, error) {
	return wire.ResolveSecret(ref, n.dir, os.LookupEnv, os.ReadFile)
}

// allowed is ownSecret for a catalog that somebody else wrote: it may name what the node's settings list.
func (n *node) allowed(ref string, list []string) (string, error) {
	if ref != "" && !slices.Contains(list, ref) {
		return "", fmt.Errorf("cannot resolve the secret %s: secrets_allow in this node's settings does not list it", ref)
	}
	return n.ownSecret(ref)
}

func (n *node) openLog() error {
	switch n.o.AccessLog {
	case "":
	case "-":
		n.accessLog = obs.NewAccessLog(os.Stdout)
	default:
		f, err := os.OpenFile(n.o.AccessLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("cannot open the access log: %w", err)
		}
		n.accessLog, n.logFile = obs.NewAccessLog(f), f
	}
	return nil
}

// listen opens a listener; flag is what chooses its address.
func listen(addr, flag string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; choose another address with %s, or port 0 for a free one", addr, err, flag)
	}
	return ln, nil
}

// adminToken makes sure that there is a token where the admin port is not on a loopback address.
func (n *node) adminToken() error {
	if a, ok := n.admin.Addr().(*net.TCPAddr); !ok || a.IP.IsLoopback() || n.o.AdminToken != "" {
		return nil
	}
	path := filepath.Join(n.o.Data, "node.token")
	token, err := secretFile(path, func() (string, error) {
		var b [24]byte
		_, err := rand.Read(b[:])
		return hex.EncodeToString(b[:]), err
	})
	if err != nil {
		return fmt.Errorf("cannot keep the token of the admin port: %w; set WEDGE_ADMIN_TOKEN, or choose a loopback address with --admin", err)
	}
	n.o.AdminToken = token
	n.log.Info("the admin port wants the bearer token in "+path, "address", n.admin.Addr().String())
	return nil
}

// secretFile reads a secret that lies in a file, or makes one and writes it there for the owner alone. Space around the
// secret does not count: editors and echo add a line break.
func secretFile(path string, fresh func() (string, error)) (string, error) {
	b, err := os.ReadFile(path)
	if secret := strings.TrimSpace(string(b)); err == nil && secret != "" {
		return secret, nil
	}
	secret, err := fresh()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		return "", fmt.Errorf("cannot write %s: %w", path, err)
	}
	return secret, nil
}

// run serves until ctx ends, then drains.
func (n *node) run(ctx context.Context) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	background, _ := errgroup.WithContext(work)
	background.Go(func() error { return n.server.Run(work) })
	background.Go(func() error { return n.cache.Run(work) })
	if n.disk != nil {
		background.Go(func() error { return n.disk.Run(work) })
	}
	if n.usage != nil {
		background.Go(func() error { return n.usage.Run(work) })
	}
	if n.budgets != nil {
		background.Go(func() error { return n.budgets.Run(work) })
	}
	if n.certificates != nil {
		background.Go(func() error { return n.certificates.run(work) })
	}
	logs, stopLogs := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLogs()
	logged := make(chan error, 1)
	go func() { logged <- n.runLog(logs) }()

	admin := &http.Server{
		Handler:           n.server.Admin(proxy.AdminOptions{Version: version, Token: n.o.AdminToken, Notes: n.noted, Origin: n.link, Spool: n.spool}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	front := make(chan error, 2)
	go func() { front <- n.server.Serve(n.data) }()
	go func() { front <- admin.Serve(n.admin) }()
	var err error
	waiting := 2
	select {
	case err = <-front:
		waiting--
	case <-ctx.Done():
	}
	err = errors.Join(err, n.drain(ctx, admin))
	for range waiting {
		if e := <-front; e != nil && !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	stopWork()
	err = errors.Join(err, background.Wait())
	stopLogs()
	return errors.Join(err, <-logged)
}

func (n *node) runLog(ctx context.Context) error {
	if n.accessLog == nil {
		return nil
	}
	return n.accessLog.Run(ctx)
}

// drain lets requests under way end. The admin port answers until the last of them has.
func (n *node) drain(ctx context.Context, admin *http.Server) error {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.o.Drain)
	defer cancel()
	n.log.Info("draining", "up to", n.o.Drain.String())
	if err := n.server.Shutdown(grace); err != nil {
		n.log.Warn("requests were still under way when the time to drain was over", "error", err)
	}
	return admin.Close()
}

// close gives up what newNode opened.
func (n *node) close() {
	for _, ln := range []net.Listener{n.data, n.admin} {
		if ln != nil {
			_ = ln.Close() // run may have closed it
		}
	}
	if n.memory != nil {
		n.memory.Close()
	}
	if n.disk != nil {
		if err := n.disk.Close(); err != nil {
			n.log.Error("cannot close the store", "error", err)
		}
	}
	if n.logFile != nil {
		_ = n.logFile.Close()
	}
	if n.policies != nil {
		n.policies.Close()
	}
	if n.policyTemp != "" {
		_ = os.RemoveAll(n.policyTemp)
	}
}

// addresses is what addresses.json in the data folder says once the process is ready.
type addresses struct {
	Data   string `json:"data,omitempty"`
	Admin  string `json:"admin,omitempty"`
	Origin string `json:"origin,omitempty"` // a URL
	Sim    string `json:"sim,omitempty"`
	Key    string `json:"key,omitempty"`
}

// addresses are where the node itself can be reached.
func (n *node) addresses() addresses {
	return addresses{Data: reachable(n.data.Addr()), Admin: reachable(n.admin.Addr())}
}

// reachable is an address as this machine's programs can use it: a wildcard is no place to connect to.
func reachable(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

// write puts the file in place in one step, so that no reader sees half of it.
func (a addresses) write(dir string) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "addresses.json")
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write the addresses: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

// dialects are those that a node speaks.
func dialects() *dialect.Set {
	return &dialect.Set{
		Codecs:    [...]dialect.Codec{openai.Codec{}, anthropic.Codec{}, gemini.Codec{}},
		Rewriters: [...]dialect.Rewriter{openai.Rewriter{}, anthropic.Rewriter{}, gemini.Rewriter{}},
	}
}
