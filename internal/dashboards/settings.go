package dashboards

// Settings are what a configuration changes of dashboards and rules.
type Settings struct {
	// Native reads native histograms instead of classic buckets.
	Native bool
}

// Default returns the settings of the files in the repository: those of a soakd
// with the default configuration.
func Default() Settings { return Settings{} }
