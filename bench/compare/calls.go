package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// calls is how often a node has asked its policies, beside how often the set's requests must have made it do so: a row
// about policies that were not called, or that failed, would tell nothing.
type calls struct {
	Expected float64 `json:"expected"`
	Made     float64 `json:"made"`
	Failed   float64 `json:"failed"`
}

// tolerated is the share of calls that may go missing: a busy machine lets a call wait too long now and then.
const tolerated = 0.001

func (c *calls) lost() float64 { return max(0, c.Expected-c.Made) + c.Failed }

func (c *calls) good() bool { return c.lost() <= tolerated*c.Expected }

// countCalls asks the set's node what its policies did, warm-up included, if any of its variants has policies.
func (s set) countCalls(ctx context.Context, subjects []*subject, res *result) error {
	c := &calls{}
	for _, v := range s.variants {
		requests := s.warm
		for _, rep := range res.Reports[v.name] {
			requests += rep.Requests
		}
		c.Expected += float64(v.policies * requests)
	}
	if c.Expected == 0 {
		return nil
	}
	for _, sub := range subjects {
		if sub.name != node {
			continue
		}
		if err := c.read(ctx, sub.admin); err != nil {
			return fmt.Errorf("cannot count the calls of policies in set %s: %w", s.name, err)
		}
	}
	res.Calls = c
	return nil
}

// read sums the counters of a node's admin port.
func (c *calls) read(ctx context.Context, admin string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.add(resp.Body)
}

// add reads metrics in Prometheus' text form.
func (c *calls) add(metrics io.Reader) error {
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), "{")
		to := map[string]*float64{"wedge_policy_calls_total": &c.Made, "wedge_policy_errors_total": &c.Failed}[name]
		if to == nil {
			continue
		}
		text := lines.Text()
		n, err := strconv.ParseFloat(text[strings.LastIndexByte(text, ' ')+1:], 64)
		if err != nil {
			return fmt.Errorf("cannot read the metric %q: %w", text, err)
		}
		*to += n
	}
	return lines.Err()
}
