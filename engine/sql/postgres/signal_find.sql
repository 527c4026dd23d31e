-- Signal: the message that was sent with this key before. Index signal_key. 1 intent, 2 name, 3 key.
select id from intendant.signal where intent_id = $1::uuid and name = $2::text and key = $3::text
