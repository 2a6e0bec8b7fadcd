Order.find_or_create_by!(total: 10)
