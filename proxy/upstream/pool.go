package upstream

import (
	"sync"
	"time"
)

// pool keeps an endpoint's idle connections and counts the others.
type pool struct {
	max     int
	timeout time.Duration

	mu     sync.Mutex
	idle   []*conn // the one that was used last is the last one
	open   int     // idle, lent, or being dialled
	closed bool
	reaper *time.Timer // armed while connections are idle
	armed  bool
}

// take lends the idle connection that was used last. Without one it returns nil and true, which permits one dial,
// or nil and false if all are in use. Either must be given back: the connection with put, the permission with drop.
func (p *pool) take() (*conn, bool) {
	for {
		cn, ok := p.pop()
		if cn == nil || cn.alive() {
			return cn, ok
		}
		cn.free()
		p.drop()
	}
}

func (p *pool) pop() (*conn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		cn := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		return cn, true
	}
	if p.open >= p.max {
		return nil, false
	}
	p.open++
	return nil, true
}

// put takes a lent connection back. It must be at rest: the answer was read to its end and nothing is unread.
func (p *pool) put(cn *conn) {
	cn.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.open--
		cn.free()
		return
	}
	p.idle = append(p.idle, cn)
	if !p.armed {
		p.arm(p.timeout)
	}
}

// drop takes back the place of a connection that no longer exists.
func (p *pool) drop() {
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
}

// arm is called with mu held.
func (p *pool) arm(d time.Duration) {
	p.armed = true
	if p.reaper == nil {
		p.reaper = time.AfterFunc(d, p.reap)
	} else {
		p.reaper.Reset(d)
	}
}

// reap closes what has been idle for too long. The oldest stand first, because the last one is used first.
func (p *pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idleSince) >= p.timeout {
		p.idle[n].free()
		n++
	}
	p.open -= n
	left := copy(p.idle, p.idle[n:])
	clear(p.idle[left:])
	p.idle = p.idle[:left]
	p.armed = false
	if left > 0 {
		p.arm(p.timeout - now.Sub(p.idle[0].idleSince))
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	for _, cn := range p.idle {
		cn.free()
	}
	p.open -= len(p.idle)
	p.idle = nil
}

func (p *pool) count() (open, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, len(p.idle)
}
