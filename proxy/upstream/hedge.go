package upstream

import (
	"sync/atomic"
	"time"
)

// Hedge is a second attempt, for when the first one is slow.
type Hedge struct {
	After    time.Duration
	Endpoint *Endpoint
	Request  *Request
	Begin    func() bool // called in another goroutine before the attempt is made; false: it is not made
}

// race is an attempt and its hedge.
type race struct {
	hedge  *Hedge
	first  *Call
	second Call
	winner atomic.Int32 // 1 or 2, once there is one
	slow   chan struct{}
	done   chan struct{}
}

// DoHedged is Do, with a second attempt as h says if the first one has no response head by then. The first head that
// asks for no other attempt (5xx, 429 and 408 do) wins; c goes on with it, and the other attempt's connection is
// closed. hedged tells that the second attempt won. Abort ends both.
func (e *Endpoint) DoHedged(c *Call, req *Request, h *Hedge) (hedged bool, err error) {
	r := &race{hedge: h, first: c, slow: make(chan struct{}), done: make(chan struct{})}
	c.link(&r.second)
	stop := make(chan struct{})
	go r.run(stop)
	err = e.Do(c, req)
	if err == nil && good(c) && r.winner.CompareAndSwap(0, 1) {
		r.second.Abort()
	}
	close(stop) // a hedge that has not begun does not begin any more
	<-r.done
	if r.winner.Load() == 2 {
		c.adopt(&r.second)
		return true, nil
	}
	r.second.Close()
	c.link(nil)
	return false, err
}

// run makes the second attempt when its time has come.
func (r *race) run(stop <-chan struct{}) {
	defer close(r.done)
	timer := time.NewTimer(r.hedge.After)
	defer timer.Stop()
	select {
	case <-stop:
		return
	case <-timer.C:
	}
	if r.second.aborted.Load() || !r.hedge.Begin() {
		return
	}
	if r.hedge.Endpoint.Do(&r.second, r.hedge.Request) == nil && good(&r.second) && r.winner.CompareAndSwap(0, 2) {
		r.first.interrupt()
	}
}

// good says that no other attempt would do better than the answer that c has.
func good(c *Call) bool {
	status := c.Status()
	return status < 500 && status != 429 && status != 408
}

// link makes Abort reach another call, too.
func (c *Call) link(other *Call) {
	c.mu.Lock()
	c.linked = other
	left := c.left.Load()
	c.mu.Unlock()
	if left && other != nil {
		other.Abort()
	}
}

// interrupt makes the attempt fail like Abort, but until adopt only.
func (c *Call) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut()
}

// adopt ends the attempt and goes on with another call's answer.
func (c *Call) adopt(other *Call) {
	c.Close()
	cn := other.detach()
	c.mu.Lock()
	c.conn, c.linked = cn, nil
	if left := c.left.Load(); left {
		cn.close()
	} else {
		c.aborted.Store(false)
	}
	c.mu.Unlock()
	c.endpoint, c.chunkTimeout, c.headRequest = other.endpoint, other.chunkTimeout, other.headRequest
	c.sent, c.answered, c.head, c.body, c.err = other.sent, other.answered, other.head, other.body, other.err
}
