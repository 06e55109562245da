package usage

func runChildIfAsked() {}
