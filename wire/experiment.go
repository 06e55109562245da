package wire

// Assignment puts the units of one experiment on its arms, the same on every node. The zero Assignment takes
// nobody in.
type Assignment struct {
	seed      string // of the arms
	gate      string // the seed of who takes part, independent of the arms'
	low, high uint32 // who takes part: buckets under gate from low up to, not including, high
	split     Split
}

// CompileExperiment builds the assignment of an experiment of a valid catalog, whatever its status. Without a
// layer the first traffic per cent of the units take part, by a hash of the experiment's own. In a layer all
// experiments of the catalog own ranges of one hash, end to end in the order of their names and whatever their
// status, so no unit takes part in two and pausing one moves no other.
func CompileExperiment(c *Catalog, e *Experiment) Assignment {
	weights := make([]int, len(e.Arms))
	for i := range e.Arms {
		weights[i] = e.Arms[i].Weight
	}
	a := Assignment{seed: e.Seed, gate: e.Seed + "/traffic", split: CompileSplit(weights)}
	if e.Layer != "" {
		a.gate = "layer:" + e.Layer
		a.low = layerStart(c, e)
	}
	a.high = a.low + trafficBuckets(e)
	return a
}

// layerStart is where the range of an experiment begins in its layer.
func layerStart(c *Catalog, e *Experiment) uint32 {
	start := uint32(0)
	for i := range c.Experiments {
		if other := &c.Experiments[i]; other.Layer == e.Layer && other.Name < e.Name {
			start += trafficBuckets(other)
		}
	}
	return start
}

func trafficBuckets(e *Experiment) uint32 { return uint32(e.Traffic) * (Buckets / 100) }

// Arm is the index of the unit's arm, and whether the unit takes part at all. It does not allocate.
func (a *Assignment) Arm(unit []byte) (arm int, in bool) {
	if a.high-a.low < Buckets {
		if b := Bucket(a.gate, unit); b < a.low || b >= a.high {
			return 0, false
		}
	}
	return a.split.Arm(Bucket(a.seed, unit)), true
}
