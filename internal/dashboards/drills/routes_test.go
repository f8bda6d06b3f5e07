package drills

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// routes is the configuration of Alertmanager: the example in deploy/ with the
// webhook in the place of all receivers that somebody reads, each alert by itself,
// and next to no waiting. As waiting is there for, the alerts of the instance whose
// target goes away do wait: what an outage brings along may be seen before it is
// known for one.
func routes(webhook string) (string, error) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "alertmanager.yml"))
	if err != nil {
		return "", err
	}
	var config struct {
		Route     map[string]any   `yaml:"route"`
		Receivers []map[string]any `yaml:"receivers"`
		Inhibit   []any            `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return "", fmt.Errorf("deploy/alertmanager.yml: %w", err)
	}
	hooks := []map[string]any{{"url": webhook, "send_resolved": true}}
	for _, r := range config.Receivers {
		name := r["name"]
		clear(r)
		r["name"] = name
		if name != "nobody" {
			r["webhook_configs"] = hooks
		}
	}
	config.Receivers = append(config.Receivers, map[string]any{"name": "drills", "webhook_configs": hooks})
	hurry(config.Route)
	routes, _ := config.Route["routes"].([]any)
	config.Route["routes"] = append([]any{map[string]any{"matchers": []string{`instance="away"`}, "receiver": "drills", "group_wait": "15s"}}, routes...)
	made, err := yaml.Marshal(config)
	return string(made), err
}

// hurry takes the waiting out of a route and those below it.
func hurry(route map[string]any) {
	maps.Copy(route, map[string]any{"group_by": []string{"..."}, "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"})
	below, _ := route["routes"].([]any)
	for _, one := range below {
		if child, ok := one.(map[string]any); ok {
			hurry(child)
		}
	}
}
