package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func release(body string) Resource { return Resource{KindRelease, "m", []byte(body)} }

// statusOf tells the versions' statuses in the catalog of a node.
func statusOf(t *testing.T, resources []Resource) map[string]string {
	t.Helper()
	whole, err := JoinCatalog(resources)
	require.NoError(t, err)
	c := parse(t, string(whole))
	statuses := map[string]string{}
	for i := range c.Models {
		for _, v := range c.Models[i].Versions {
			statuses[VersionName(c.Models[i].Name, v.Version)] = v.Status
		}
	}
	return statuses
}

func TestApplyReleases(t *testing.T) {
	other := strings.ReplaceAll(minimal[strings.Index(minimal, "  - name: m"):], "name: m", "name: m2")
	resources := append(split(t, minimal+other), release(`{"candidate":"1.1.0","model":"m","percent":100,"seed":"s"}`))
	before := slices.Clone(resources)
	bodies := make([]string, len(resources))
	for i := range resources {
		bodies[i] = string(resources[i].Body)
	}
	own, err := ApplyReleases(resources, "node-1")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"m@1.0.0": "deprecated", "m@1.1.0": "production", "m2@1.0.0": "production", "m2@1.1.0": "staging"}, statusOf(t, own))
	assert.Equal(t, before, resources)
	for i := range resources {
		assert.Equal(t, bodies[i], string(resources[i].Body), "what was given has not changed")
		assert.NoError(t, checkCanonical(own[i].Body))
	}

	resources[len(resources)-1] = release(`{"candidate":"1.1.0","model":"m","percent":0,"seed":"s"}`)
	own, err = ApplyReleases(resources, "node-1")
	require.NoError(t, err)
	assert.Equal(t, resources, own, "nobody is meant")

	resources[len(resources)-1] = release(`{"candidate":"1.0.0","model":"m","percent":100,"seed":"s"}`)
	own, err = ApplyReleases(resources, "node-1")
	require.NoError(t, err)
	assert.Equal(t, resources[:len(resources)-1], own[:len(own)-1], "it is in production")
}

func TestReleasesThatAreRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"candidate":"1.1.0","model":"x","percent":0,"seed":"s"}`:             `the model "x" has no version "1.1.0"`,
		`{"candidate":"1.2.0","model":"m","percent":0,"seed":"s"}`:             `the model "m" has no version "1.2.0"`,
		`{"candidate":"1.1.0","model":"m","percent":101,"seed":"s"}`:           `101 is no percentage`,
		`{"candidate":"1.1.0","model":"m","percent":-1,"seed":"s"}`:            `-1 is no percentage`,
		`{"candidate":"1.1.0","model":"m","percent":"1","seed":"s"}`:           `percent`,
		`{"candidate":"1.1.0","gate":1,"model":"m","percent":0,"seed":"s"}`:    `"gate" is not known`,
		`{"Model":"x","candidate":"1.1.0","model":"m","percent":0,"seed":"s"}`: `"Model" is not known`,
		`{"candidate":"1.1.0","model":"x","model":"m","percent":0,"seed":"s"}`: `not canonical`,
		`{"candidate":"1.1.0", "model":"m","percent":0,"seed":"s"}`:            `not canonical`,
		`{"candidate":"1.1.0","model":"m","percent":0,"seed":"s"} 1`:           `more after the value`,
		`{"model":"m","percent":0}`:                                            `needs a model and a candidate`,
		`{"candidate":"1.1.0","percent":0}`:                                    `needs a model and a candidate`,
		`null`:                                                                 `needs a model and a candidate`,
		`[]`:                                                                   `cannot unmarshal`,
		``:                                                                     `EOF`,
	} {
		own, err := ApplyReleases(append(split(t, minimal), release(body)), "n")
		assert.ErrorContains(t, err, want, body)
		assert.ErrorContains(t, err, `cannot apply the release "m": `, body)
		assert.Nil(t, own)
	}
	two := release(`{"candidate":"1.1.0","model":"m","percent":0,"seed":"s"}`)
	_, err := ApplyReleases(append(split(t, minimal), two, two), "n")
	assert.ErrorContains(t, err, `the model "m" has another release`)
	_, err = ApplyReleases([]Resource{release(`{"candidate":"1","model":"m","percent":100,"seed":"s"}`), {KindVersion, "m@1", []byte("[]")}}, "n")
	assert.ErrorContains(t, err, "the version m@1: ")
}

// A cohort has the share of nodes that it should, and only grows.
func TestCohorts(t *testing.T) {
	const nodes = 20_000
	within := func(percent float64) (n int) {
		r := Release{Percent: percent, Seed: "s"}
		for i := range nodes {
			if r.Covers(fmt.Sprint("node-", i)) {
				n++
			}
		}
		return n
	}
	assert.Zero(t, within(0))
	assert.Equal(t, nodes, within(100))
	assert.InDelta(t, nodes/10, within(10), nodes/100)
	assert.InDelta(t, nodes/1000, within(0.1), nodes/1000)
	rapid.Check(t, func(t *rapid.T) {
		small, large := rapid.Float64Range(0, 100).Draw(t, "percent"), rapid.Float64Range(0, 100).Draw(t, "percent")
		small, large = min(small, large), max(small, large)
		node, seed := rapid.String().Draw(t, "node"), rapid.String().Draw(t, "seed")
		if (&Release{Percent: small, Seed: seed}).Covers(node) {
			require.True(t, (&Release{Percent: large, Seed: seed}).Covers(node))
		}
	})
}
