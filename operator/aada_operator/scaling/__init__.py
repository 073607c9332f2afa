"""ScalingPolicy: how many pods a component has, by load and calendar, within what the database bears."""
