"""One module a contender, each with the same verbs: `bench.contenders.base` says what they are."""
