"""The shell of the serve room: processes, records, files and timers, as the lifecycle decides."""
