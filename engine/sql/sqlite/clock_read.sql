-- Request: the time, in microseconds: where an intent would stand in line that is asked for now. 1 now.
select ?1
