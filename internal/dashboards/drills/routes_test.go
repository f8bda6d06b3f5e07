package drills

import "fmt"

// routes is the configuration of Alertmanager.
func routes(webhook string) (string, error) {
	return fmt.Sprintf(`
route:
  receiver: drills
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers: [{name: drills, webhook_configs: [{url: %q, send_resolved: true}]}]
`, webhook), nil
}
