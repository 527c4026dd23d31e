-- Housekeeping: what is open already. Index alert_open. 1 of how many at most.
select kind, about, count from intendant.alert where resolved_at is null order by kind, about limit $1::bigint
