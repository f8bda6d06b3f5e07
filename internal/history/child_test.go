package history_test

func playChild(how, path string) error { return nil }
