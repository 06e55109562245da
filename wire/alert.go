package wire

// Kinds of alerts.
const (
	AlertThreshold  = "threshold"     // a budget reached one of its thresholds: once for each in a period
	AlertExhausted  = "exhausted"     // a budget has nothing left: once in a period
	AlertDenied     = "lease_denied"  // a node asked for money that is not there: once in a period
	AlertBurnRate   = "burn_rate"     // a budget will end before its period does if spending goes on like this: once in a period
	AlertOffline    = "node_offline"  // a node that has money is not heard of
	AlertUnverified = "unverified"    // money counts as spent that nobody saw spent
	AlertFirstSpend = "first_spend"   // a key or a model cost something for the first time
	AlertFlawed     = "report_flawed" // a node told numbers that cannot be: once a day
)

// AlertKinds are all kinds of alerts.
var AlertKinds = []string{AlertThreshold, AlertExhausted, AlertDenied, AlertBurnRate, AlertOffline, AlertUnverified, AlertFirstSpend, AlertFlawed}
