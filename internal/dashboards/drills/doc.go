// Package drills holds one test: each alert that ships fires for real. What it
// warns of is brought about, a real Prometheus evaluates the rules at shortened
// windows, a real Alertmanager with the routes and inhibitions of deploy/ sends
// the alert to a webhook, and it is resolved once the fault is over.
package drills
