package drills

import "fmt"

// routes is the configuration of Alertmanager: nothing waits, each alert is told by
// itself, and an outage is told instead of what it brings along. As a group that
// waits is there for, the alerts of the instance whose target goes away do wait:
// what an outage brings along may be seen before it is known for one.
func routes(webhook string) string {
	return fmt.Sprintf(`
route:
  receiver: drills
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
  routes: [{matchers: [instance="away"], group_wait: 15s}]
receivers: [{name: drills, webhook_configs: [{url: %q, send_resolved: true}]}]
inhibit_rules:
  - source_matchers: [alertname="SoakdOutage"]
    target_matchers: [alertname=~"SoakdTarget.+|SoakdErrorBudget.+|SoakdCircuitOpen|SoakdRegression"]
    equal: [job, instance]
`, webhook)
}
