-- Signal: the message that was sent with this key before. Index intendant_signal_key. 1 intent, 2 name, 3 key.
select id from intendant_signal where intent_id = ?1 and name = ?2 and key = ?3
