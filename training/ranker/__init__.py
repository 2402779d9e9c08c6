"""How the ranker's weights are learned: lanes of asked questions -> features -> a listwise loss -> ranker.json."""
